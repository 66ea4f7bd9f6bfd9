"""L2 weight regularisation: how much it adds to the loss, on what, and where it stays."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.tiny_weights import write_weights
from tests.helpers.training_cases import TINY, TINY_PLAIN, TINY_TRANSPOSED
from tests.helpers.trainings import config_of, log_of, settings
from verse_infer.weights import STAGES
from verse_train.config import CONFIGS
from verse_train.export.weights_folder import save_frozen
from verse_train.networks.answers import in_float32
from verse_train.networks.architectures import build_network, penalise_kernels
from verse_train.training import run as training
from verse_train.training.run import kernel_penalty, load_network, train, training_model

pytestmark = pytest.mark.usefixtures("float32_again")
VOXELS = 16 * 16 * 16  # of a sample of config_of


def kernels(network):
    """Convolution kernels, found by their five axes."""
    return [np.asarray(w) for w in network.trainable_weights if len(w.shape) == 5]


def squares(network):
    return sum(float((kernel.astype(float) ** 2).sum()) for kernel in kernels(network))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("stage", "size", "other", "factor"),
    [
        # The published loss ½Σ(ĥ - h)² is here Σ(ĥ - h)² / voxels: 2 / voxels times it.
        ("spine_localisation", TINY_PLAIN, {}, 2 / VOXELS),
        ("spine_localisation", TINY, {"near_weight": 5.0}, 2 / VOXELS),
        # Here Σ(ĥ - h)² + α‖σ‖²: twice the published one.
        ("vertebra_localisation", TINY_PLAIN, {"sigma_penalty": 1e-3}, 2),
        # Entropies: the published one, and one that the papers do not have.
        ("vertebra_segmentation", TINY_PLAIN, {}, 1),
        ("vertebra_localisation", TINY, {}, 1),
        ("vertebra_segmentation", TINY_TRANSPOSED, {}, 1),
    ],
)
def test_the_loss_is_higher_by_half_the_sum_of_squared_kernels_in_the_losses_own_scale(
    tmp_path, groups, stage, size, other, factor
):
    """With a rate of 0 the network, and so both parts of the loss, stay as they begin."""
    config = replace(config_of(stage, 2, size, **other), rate=0.0)
    decay = 0.02 / factor
    network = train(config, groups, settings(tmp_path / "without"))
    train(replace(config, decay=decay), groups, settings(tmp_path / "with"))
    penalty = factor * decay * 0.5 * squares(network)
    assert penalty > 0.1
    without, penalised = (float(log_of(tmp_path / n)[0]["loss"]) for n in ("without", "with"))
    assert penalised - without == pytest.approx(penalty, rel=1e-4, abs=1e-6 * without)


def test_the_papers_factors():
    """By hand: 5e-4 / (64 · 64 · 128), 5e-4 · ½ · 2, and 1e-7 · ½."""
    factors = [kernel_penalty(config) for config in CONFIGS["paper"].values()]
    assert factors == pytest.approx([9.5367e-10, 5e-4, 5e-8], rel=1e-4)


def test_heatmaps_of_a_fixed_sigma_are_averaged_over_vertebrae_too():
    config = config_of("vertebra_localisation", 2, TINY_PLAIN, decay=1.0)
    assert kernel_penalty(config) == pytest.approx(1 / (26 * VOXELS))


@pytest.mark.usefixtures("in_process")
def test_kernels_shrink_more_with_decay(tmp_path, groups):
    config = config_of("vertebra_segmentation", 6, TINY_PLAIN, optimiser="nesterov")
    without = train(config, groups, settings(tmp_path / "without"))
    decayed = train(replace(config, decay=1.0), groups, settings(tmp_path / "with"))
    assert squares(decayed) < 0.9 * squares(without)


@pytest.mark.parametrize("name", ["compact", "paper"])
@pytest.mark.parametrize("stage", STAGES)
def test_only_configurations_with_decay_penalise_and_then_every_kernel(name, stage):
    config = replace(CONFIGS[name][stage], size=TINY if name == "compact" else TINY_PLAIN)
    model = training_model(config)
    penalised = [w.path for w in model.trainable_weights if w.regularizer is not None]
    with_kernel = [w.path for w in model.trainable_weights if len(w.shape) == 5]
    assert penalised == (with_kernel if config.decay else [])
    assert len(model.losses) == len(penalised)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decay") / "weights"
    write_weights(folder)
    return folder


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("stage", "begun_with"),
    [
        *((stage, "weights") for stage in STAGES),
        ("spine_localisation", "another training"),
        ("vertebra_segmentation", "its own checkpoint"),
    ],
)
def test_a_training_that_begins_with_something_has_its_configurations_decay(
    tmp_path, groups, weights, stage, begun_with
):
    config = config_of(stage, 2, decay=0.1)
    run = settings(tmp_path / "run")
    if begun_with == "weights":
        run = replace(run, start=weights)
    else:  # trained without decay
        folder = tmp_path / "other" if begun_with == "another training" else run.folder
        train(replace(config, decay=0.0), groups, settings(folder))
        run = replace(run, start=folder)
    for decay in (0.1, 0.0):
        model = training.begun_model(replace(config, decay=decay), run)
        penalty = sum(float(loss) for loss in model.losses)
        factor = kernel_penalty(replace(config, decay=decay))
        assert penalty == pytest.approx(factor * squares(model), rel=1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_keeps_the_decay_and_is_exported_without(tmp_path, stage):
    """The frozen graph has the same operations as that of a network never penalised."""
    config = config_of(stage, 2, decay=0.1)
    model = training_model(config)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / training.CHECKPOINT)
    network = load_network(tmp_path, config)
    assert len(network.losses) == len(kernels(network))
    plain = build_network(stage, TINY)
    plain.set_weights(network.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 16, network.input_shape[-1]))
    assert np.array_equal(in_float32(network)(image), plain(image))
    operations = []
    for each, folder in ((network, tmp_path / "with"), (plain, tmp_path / "without")):
        save_frozen(each, folder)
        operations.append(operations_of(folder))
    assert operations[0] == operations[1]
    assert operations[0]["Conv3D"] == len(kernels(network))


def operations_of(folder):
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    return Counter(node.op for function in functions for node in function.node_def)


def test_a_penalty_can_be_taken_away():
    network = build_network("spine_localisation", TINY)
    penalise_kernels(network, 0.5)
    assert sum(float(loss) for loss in network.losses) == pytest.approx(0.5 * squares(network))
    penalise_kernels(network, 0.0)
    assert network.losses == []
