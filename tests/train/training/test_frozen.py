"""From a weights folder back to Keras networks, and trainings that begin with them."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.helpers.tiny_weights import tiny_exports, write_weights
from tests.helpers.training_cases import TINY, TINY_LIGHT, TINY_PLAIN
from tests.helpers.trainings import FeedInProcess, config_of, settings
from verse_infer.errors import UsageError, WeightsError
from verse_infer.weights import STAGES, read_manifest
from verse_train import cli as command
from verse_train.config import CONFIGS
from verse_train.export.weights_folder import StageExport, export_weights
from verse_train.networks.architectures import SIZES, build_network
from verse_train.training.frozen import networks_of_weights
from verse_train.training.run import CHECKPOINT, PATIENTS, train, trained_patients

BUNDLED = Path(__file__).parents[3] / "weights"
pytestmark = pytest.mark.usefixtures("tiny_sizes")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen") / "weights"
    return folder, write_weights(folder)


def values(network):
    return np.concatenate([np.ravel(value) for value in network.get_weights()])


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("stage", STAGES)
def test_the_network_of_a_weights_folder_is_the_one_it_was_made_of(weights, stage, precision):
    folder, exports = weights
    keras.mixed_precision.set_global_policy(precision)
    found = networks_of_weights(folder, config_of(stage, 1))[0]
    assert np.array_equal(values(found), values(exports[stage].networks[0]))
    assert found.layers[1].compute_dtype == precision.removeprefix("mixed_")


@pytest.mark.parametrize("stage", STAGES)
def test_the_bundled_networks_can_be_taken_up(stage):
    (network,) = networks_of_weights(BUNDLED, CONFIGS["compact"][stage])
    assert np.isfinite(values(network)).all()


@pytest.mark.parametrize(("size", "tiny"), [("plain", TINY_PLAIN), ("tiny light", TINY_LIGHT)])
def test_networks_of_other_sizes_come_back_with_all_their_weights(tmp_path, size, tiny):
    networks = {stage: build_network(stage, tiny) for stage in STAGES}
    for number, network in enumerate(networks.values()):
        rng = np.random.default_rng(number)
        network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    entries = tiny_exports()
    export_weights(
        tmp_path / "weights",
        size,
        {s: StageExport([networks[s]], entries[s].weights, _answer(s, size)) for s in STAGES},
        {},
    )
    for stage in STAGES:
        found = networks_of_weights(tmp_path / "weights", config_of(stage, 1, size))[0]
        assert np.array_equal(values(found), values(networks[stage]))


def _answer(stage, size):
    if stage == "vertebra_localisation" and size != "plain":
        return "shares"
    return "sigmoid" if stage == "vertebra_segmentation" else "as is"


@pytest.mark.parametrize("size", ["wider", "deeper"])
def test_a_network_of_another_size_is_refused(weights, monkeypatch, size):
    filters = {"wider": (TINY.filters[0] + 1, *TINY.filters[1:]), "deeper": (*TINY.filters, 2)}
    other = replace(TINY, filters=filters[size])
    monkeypatch.setitem(SIZES, "other", other)
    with pytest.raises(UsageError, match="expected a network of the size other"):
        networks_of_weights(weights[0], config_of("spine_localisation", 1, "other"))


def test_a_network_of_the_same_shapes_that_answers_otherwise_is_refused(weights, monkeypatch):
    monkeypatch.setitem(SIZES, "steeper", replace(TINY, leaky=0.7))
    with pytest.raises(UsageError, match="answers differently"):
        networks_of_weights(weights[0], config_of("vertebra_segmentation", 1, "steeper"))


@pytest.mark.usefixtures("in_process")
def test_a_training_begins_with_the_networks_of_a_weights_folder_at_step_0(
    weights, groups, tmp_path
):
    folder, exports = weights
    config = replace(config_of("vertebra_segmentation", 2), rate=0.0)
    network = train(config, groups, replace(settings(tmp_path), start=folder))
    assert FeedInProcess.started == (0,)
    assert np.array_equal(values(network), values(exports[config.stage].networks[0]))


def test_damaged_weights_are_refused(weights, tmp_path):
    shutil.copytree(weights[0], tmp_path / "weights")
    with next((tmp_path / "weights").rglob("spine_localisation/*/saved_model.pb")).open(
        "ab"
    ) as file:
        file.write(b"more")
    with pytest.raises(WeightsError, match="damaged"):
        networks_of_weights(tmp_path / "weights", config_of("spine_localisation", 1))


def test_export_takes_stages_over_from_weights(weights, tmp_path, monkeypatch):
    folder, exports = weights
    for stage in STAGES:
        monkeypatch.setitem(CONFIGS["compact"], stage, config_of(stage, 1))
    monkeypatch.setattr("verse_train.export.entries.stage_entry", _tiny_entry(exports))
    options = [word for s in STAGES for word in ("--" + s.replace("_", "-"), str(folder))]
    output = ["--name", "again", "--output", str(tmp_path / "again")]
    assert command.main(["export", *options, *output]) == 0
    before, after = (read_manifest(root).stages.present() for root in (folder, tmp_path / "again"))
    for stage in STAGES:
        # The very files: what was not trained keeps its checksum.
        assert after[stage].models == before[stage].models
        (again,) = networks_of_weights(tmp_path / "again", config_of(stage, 1))
        assert np.array_equal(values(again), values(exports[stage].networks[0]))


def _tiny_entry(exports):
    return lambda _, stage: (exports[stage].weights, exports[stage].answer)


@pytest.mark.usefixtures("in_process")
def test_whom_the_networks_of_a_weights_folder_have_seen_stays_unknown(weights, groups, tmp_path):
    config = config_of("spine_localisation", 2)
    run = replace(settings(tmp_path / "first"), start=weights[0])
    # As a training leaves it that began without a start and came to nothing.
    run.folder.mkdir()
    (run.folder / PATIENTS).write_text("[]")
    train(config, groups, run)
    train(replace(config, steps=4), groups, replace(run, start=None))
    follower = replace(settings(tmp_path / "second"), start=tmp_path / "first")
    train(replace(config, steps=6), groups, follower)
    for folder in (run.folder, follower.folder):
        assert (folder / CHECKPOINT).exists()
        assert not (folder / PATIENTS).exists()
        with pytest.raises(UsageError, match="list of patients"):
            trained_patients(folder)
