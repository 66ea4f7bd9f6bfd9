"""Trainings that begin with what a weights folder keeps for them."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.helpers.tiny_weights import tiny_exports, write_weights
from tests.helpers.training_cases import TINY, TINY_PLAIN, TINY_TRANSPOSED
from tests.helpers.trainings import FeedInProcess, config_of, settings
from verse_infer.errors import UsageError, WeightsError
from verse_infer.networks import load_networks
from verse_infer.weights import MANIFEST_NAME, STAGES, read_manifest
from verse_train import cli as command
from verse_train.config import CONFIGS
from verse_train.export.weights_folder import StageExport, export_weights, networks_to_export
from verse_train.networks.answers import FINISH, answer_of
from verse_train.networks.architectures import build_network
from verse_train.sizes import Size
from verse_train.training.run import CHECKPOINT, PATIENTS, train, trained_patients
from verse_train.training.start import network_of_weights

BUNDLED = Path(__file__).parents[3] / "weights"
SPINE = STAGES[0]
pytestmark = pytest.mark.usefixtures("float32_again")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "weights"
    return folder, write_weights(folder)


def values(network):
    return np.concatenate([np.ravel(value) for value in network.get_weights()])


def stored_file(folder, stage):
    return folder / read_manifest(folder).stages.present()[stage].models[0].training.file


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("stage", STAGES)
def test_the_network_of_a_weights_folder_is_the_one_it_was_made_of(weights, stage, precision):
    folder, exports = weights
    keras.mixed_precision.set_global_policy(precision)
    found = network_of_weights(folder, config_of(stage, 1))
    expected = values(exports[stage].networks[0])
    assert np.array_equal(values(found), expected.astype(np.float16))
    assert found.layers[1].compute_dtype == precision.removeprefix("mixed_")


@pytest.mark.parametrize("stage", STAGES)
def test_a_training_of_the_bundled_networks_begins_where_they_are(stage):
    """Stage 3 has logits of up to 12, so that its answers move most: by 0.01 (0.069 in bfloat16)."""
    config = CONFIGS[Size.COMPACT][stage]
    network = network_of_weights(BUNDLED, config)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 48, 48, 48, network.input_shape[-1]))
    own = FINISH[answer_of(config)](network(image.astype(np.float32), training=False))
    bundled = load_networks(BUNDLED, "cpu", "float32")[stage]
    assert np.abs(np.asarray(own) - bundled.run_batch(image.astype(np.float32))).max() < 0.015


@pytest.mark.parametrize("size", [TINY_PLAIN, TINY_TRANSPOSED], ids=lambda size: size.name)
def test_networks_of_other_sizes_come_back_with_all_their_weights(tmp_path, size):
    networks = {stage: build_network(stage, size) for stage in STAGES}
    for number, network in enumerate(networks.values()):
        rng = np.random.default_rng(number)
        network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    entries = tiny_exports()
    exports = {
        stage: StageExport(
            [network], entries[stage].weights, answer_of(config_of(stage, 1, size)), size
        )
        for stage, network in networks.items()
    }
    export_weights(tmp_path / "weights", size.name, exports, {})
    for stage in STAGES:
        found = network_of_weights(tmp_path / "weights", config_of(stage, 1, size))
        assert np.array_equal(values(found), values(networks[stage]).astype(np.float16))


def test_a_network_of_another_size_is_refused(weights):
    with pytest.raises(UsageError, match=r"expected networks of the size tiny plain .* size tiny"):
        network_of_weights(weights[0], config_of("spine_localisation", 1, TINY_PLAIN))


@pytest.mark.parametrize("filters", [(3, 2, 2), (2, 2, 2, 2)])
def test_a_network_of_the_same_name_and_other_layers_is_refused(weights, filters):
    other = replace(TINY, filters=filters)
    with pytest.raises(UsageError, match="expected weights of another network"):
        network_of_weights(weights[0], config_of("spine_localisation", 1, other))


@pytest.mark.usefixtures("in_process")
def test_a_training_begins_with_the_networks_of_a_weights_folder_at_step_0(
    weights, groups, tmp_path
):
    folder, exports = weights
    config = replace(config_of("vertebra_segmentation", 2), rate=0.0)
    network = train(config, groups, replace(settings(tmp_path), start=folder))
    assert FeedInProcess.started == (0,)
    expected = values(exports[config.stage].networks[0]).astype(np.float16)
    assert np.array_equal(values(network), expected)


def changed_manifest(folder, change):
    """The manifest's models of all stages, changed in place."""
    content = json.loads((folder / MANIFEST_NAME).read_text())
    for stage in content["stages"].values():
        change(stage["models"][0])
    (folder / MANIFEST_NAME).write_text(json.dumps(content))


def test_damaged_weights_are_refused(weights, tmp_path):
    folder = shutil.copytree(weights[0], tmp_path / "weights")
    with stored_file(folder, SPINE).open("ab") as file:
        file.write(b"more")
    with pytest.raises(WeightsError, match="damaged: expected SHA-256"):
        network_of_weights(folder, config_of(SPINE, 1))


def test_a_file_that_holds_no_weights_is_refused_though_its_checksum_is_right(weights, tmp_path):
    folder = shutil.copytree(weights[0], tmp_path / "weights")
    stored_file(folder, SPINE).write_bytes(b"no weights")
    digest = hashlib.sha256(b"no weights").hexdigest()
    changed_manifest(folder, lambda model: model["training"].update(sha256=digest))
    with pytest.raises(UsageError, match="expected weights to begin a training with"):
        network_of_weights(folder, config_of(SPINE, 1))


def without_training_files(folder):
    shutil.rmtree(folder / "training")


def without_training_entries(folder):
    changed_manifest(folder, lambda model: model.pop("training"))


@pytest.mark.parametrize("take", [without_training_files, without_training_entries])
def test_weights_run_without_what_trainings_begin_with(weights, tmp_path, take):
    folder = shutil.copytree(weights[0], tmp_path / "weights")
    take(folder)
    assert load_networks(folder, "cpu", "float32")[SPINE].weights.models
    with pytest.raises(UsageError, match=r"expected (weights to begin|networks of the size tiny)"):
        network_of_weights(folder, config_of(SPINE, 1))


@pytest.fixture
def export_again(weights, tmp_path, monkeypatch):
    """export_again(folder) -> the folder's three stages exported anew."""
    for stage in STAGES:
        monkeypatch.setitem(CONFIGS["compact"], stage, config_of(stage, 1))
    monkeypatch.setattr("verse_train.export.entries.stage_entry", _tiny_entry(weights[1]))

    def export(folder):
        options = [word for s in STAGES for word in ("--" + s.replace("_", "-"), str(folder))]
        output = ["--name", "again", "--output", str(tmp_path / "again")]
        assert command.main(["export", *options, *output]) == 0
        return tmp_path / "again"

    return export


def test_export_takes_stages_over_from_weights(weights, export_again):
    folder, _ = weights
    again = export_again(folder)
    # The very files: what was not trained keeps its checksum.
    assert read_manifest(again).stages == read_manifest(folder).stages
    for stage in STAGES:
        assert stored_file(again, stage).read_bytes() == stored_file(folder, stage).read_bytes()


def test_export_takes_over_what_there_is(weights, export_again, tmp_path):
    folder = shutil.copytree(weights[0], tmp_path / "weights")
    without_training_files(folder)
    again = export_again(folder)
    assert read_manifest(again).stages == read_manifest(folder).stages
    assert not (again / "training").exists()


def test_damaged_models_are_not_taken_over(weights, tmp_path):
    folder = shutil.copytree(weights[0], tmp_path / "weights")
    with next(folder.rglob("spine_localisation/*/saved_model.pb")).open("ab") as file:
        file.write(b"more")
    with pytest.raises(WeightsError, match="damaged"):
        networks_to_export(folder, config_of(SPINE, 1))


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
