"""The networks' variables are the checkpoints', and their answers those of a plain forward pass."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.published_models import ENDING, prefix_of, save_table, write_models
from tests.helpers.published_reference import (
    LANDMARKS,
    STAGES,
    forward,
    known_input,
    known_values,
    variables,
)
from verse_infer.networks import load_networks
from verse_train.cli import main
from verse_train.published.importing import import_published, load_stage
from verse_train.published.layouts import LAYOUTS, YEARS
from verse_train.published.networks_2019 import build_2019
from verse_train.published.networks_2020 import build_2020

PUBLISHED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "published"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no ../shared/data/published")
BUILDERS = {2019: build_2019, 2020: build_2020}
FILTERS = {2019: 64, 2020: 96}
SMALL = 4
both_years = pytest.mark.parametrize("year", YEARS)
all_stages = pytest.mark.parametrize("stage", STAGES)


@both_years
@all_stages
def test_variables_are_those_of_the_published_table(year, stage):
    expected = variables(year, stage, FILTERS[year])
    found = LAYOUTS[year].variables(BUILDERS[year](stage))
    ending = ENDING if year == 2020 else ""
    assert found == {name + ending: shape for name, shape in expected.items()}


@pytest.mark.real_data
@needs_published
@both_years
@all_stages
def test_every_variable_of_the_published_index_is_consumed_or_known_to_be_none(year, stage):
    index = dict(tf.train.list_variables(str(prefix_of(PUBLISHED / str(year), year, stage))))
    layout = LAYOUTS[year]
    rest = {
        name: tuple(shape) for name, shape in index.items() if not layout.ignored.fullmatch(name)
    }
    assert rest == layout.variables(BUILDERS[year](stage))
    dropped = set(index) - set(rest)
    assert all(
        any(word in name for word in ("Adam", "Momentum", "OPTIMIZER", "optimizer", "power"))
        or name.removesuffix(ENDING)
        in {"Variable", "sigmas", "save_counter", "_CHECKPOINTABLE_OBJECT_GRAPH"}
        for name in dropped
    )


@pytest.mark.parametrize(
    ("year", "name", "ignored"),
    [
        (2019, "net/conv0/kernel/Momentum", True),
        (2019, "net/conv0/bias/Adam_1", True),
        (2019, "beta2_power", True),
        (2019, "Variable", True),
        (2019, "net/conv0/kernel", False),
        (2019, "net/Variable", False),
        (2020, "model/unet/x/kernel/.OPTIMIZER_SLOT/optimizer/base_optimizer/m" + ENDING, True),
        (2020, "optimizer/loss_scale/good_steps" + ENDING, True),
        (2020, "_CHECKPOINTABLE_OBJECT_GRAPH", True),
        (2020, "sigmas" + ENDING, True),
        (2020, "model/unet/contracting_layers/level0/layers/0/kernel" + ENDING, False),
        (2020, "model/sigmas" + ENDING, False),
    ],
)
def test_only_the_optimisers_and_losses_variables_are_ignored(year, name, ignored):
    assert bool(LAYOUTS[year].ignored.fullmatch(name)) == ignored


@pytest.fixture(scope="module", params=YEARS)
def imported(request, tmp_path_factory):
    """Year and weights folder imported from small checkpoints of that year."""
    year, folder = request.param, tmp_path_factory.mktemp(f"small{request.param}")
    checkpoint = write_models(folder / "models", year, SMALL)
    build = partial(BUILDERS[year], filters=SMALL)
    import_published(year, checkpoint, folder / "weights", build)
    return year, folder / "weights"


def small_shapes(stage):
    """Sizes of z, y, x: one as published tiles divide, one that only 16 divides."""
    return ((32, 32, 64), (16, 48, 32)) if stage == "vertebra_localisation" else ((32, 16, 48),)


def test_imported_weights_answer_as_the_plain_forward_pass(imported):
    year, weights = imported
    networks = load_networks(weights, "cpu", "float32")
    for stage in STAGES:
        values = known_values(variables(year, stage, SMALL))
        channels = 2 if stage == "vertebra_segmentation" else 1
        for shape in small_shapes(stage):
            image = known_input((1, *shape, channels))[0]
            expected = forward(year, stage, values, image)
            found = networks[stage](image)
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() < 1e-5 * np.ptp(expected), (year, stage, shape)


def test_labels_are_those_of_the_years_channels(imported):
    year, weights = imported
    labels = load_networks(weights, "cpu", "float32")["vertebra_localisation"].weights.labels
    assert len(labels) == LANDMARKS[year]
    assert labels == (*range(1, 26), 28)[: LANDMARKS[year]]


@both_years
def test_smallest_size_runs_through_every_stage(year):
    for stage in STAGES:
        network = BUILDERS[year](stage, filters=2)
        image = known_input((2, 16, 16, 16, network.input_shape[-1]))
        assert np.asarray(network(image)).shape == (2, 16, 16, 16, network.output_shape[-1])


@pytest.fixture(scope="module")
def published_2019(tmp_path_factory):
    """Networks the command makes of a full-size TF1 checkpoint with the parity values."""
    folder = tmp_path_factory.mktemp("published2019")
    write_models(folder / "models", 2019, FILTERS[2019])
    arguments = ["--checkpoint", folder / "models", "--output", folder / "weights"]
    assert main(["import-published", "--year", "2019", *map(str, arguments)]) == 0
    return load_networks(folder / "weights", "cpu", "float32")


@pytest.mark.real_data
@needs_published
@pytest.mark.parametrize(
    ("stage", "shape"),
    [
        ("spine_localisation", (128, 64, 64, 1)),
        ("vertebra_localisation", (128, 96, 96, 1)),
        ("vertebra_segmentation", (96, 128, 128, 2)),
    ],
)
def test_answers_are_those_of_the_published_graphs_of_2019(published_2019, stage, shape):
    truth = np.load(PUBLISHED / "2019" / "parity" / f"{STAGES[stage]}.npz")
    assert [str(name) for name in truth["variables"]] == sorted(variables(2019, stage, 64))
    found = published_2019.stages[stage].run_batch(known_input((1, *shape)))
    limit = 1e-4 * np.ptp(truth["output"])
    assert np.abs(found[:, ::4, ::4, ::4] - truth["output"]).max() < limit
    assert np.abs(found[:, :8, :8, :8] - truth["corner"]).max() < limit


def test_a_stage_reads_the_same_from_a_checkpoint_of_two_data_files(tmp_path):
    """The 2020 checkpoints keep the object graph in a data file of its own."""
    stage = "spine_localisation"
    one = prefix_of(write_models(tmp_path / "one", 2020, SMALL), 2020, stage)
    save_table(tmp_path / "graph", {"optimizer/graph": np.float32(0)})
    (tmp_path / "two").mkdir()
    two = tmp_path / "two" / one.name
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(tmp_path / "graph"), str(one)],
        destination_prefix=str(two),
        delete_old_dirs=False,
    )
    assert len(list(two.parent.glob("*.data-*-of-00002"))) == 2
    network = load_stage(LAYOUTS[2020], two, build_2020(stage, filters=SMALL))
    values = known_values(variables(2020, stage, SMALL))
    layer = network.get_layer("model.prediction.layers.0")
    assert np.array_equal(layer.kernel, values["model/prediction/layers/0/kernel"])
