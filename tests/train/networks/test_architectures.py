import keras
import numpy as np
import pytest

from tests.helpers.training_cases import TINY, TINY_PLAIN, TINY_TRANSPOSED
from verse_infer.anatomy import VERTEBRAE
from verse_infer.weights import STAGES
from verse_train.config import CONFIGS
from verse_train.networks.architectures import build_network
from verse_train.networks.losses import shares
from verse_train.sizes import SIZES, NetworkSize, Size

NETWORK_SIZES = {"shares": TINY, "product": TINY_PLAIN, "transposed": TINY_TRANSPOSED}
CHANNELS = {
    "spine_localisation": (1, 1),
    "vertebra_localisation": (1, len(VERTEBRAE)),
    "vertebra_segmentation": (2, 1),
}


def image_of(shape, channels):
    return np.random.default_rng(0).uniform(-1, 1, (1, *shape, channels)).astype(np.float32)


@pytest.mark.parametrize("size", NETWORK_SIZES)
@pytest.mark.parametrize("stage", STAGES)
def test_outputs_have_the_inputs_size_and_start_near_the_background(stage, size):
    keras.utils.set_random_seed(0)
    network = build_network(stage, NETWORK_SIZES[size])
    inputs, outputs = CHANNELS[stage]
    for shape in ((16, 16, 32), (32, 16, 16)):
        answer = np.asarray(network(image_of(shape, inputs)))
        assert answer.shape == (1, *shape, outputs)
        assert answer.dtype == np.float32
        if stage == "vertebra_localisation" and size != "product":
            answer = np.asarray(shares(answer))
            assert answer.sum(axis=-1).max() < 0.1  # e^-3 for any vertebra against 1
        assert np.abs(answer).max() < 0.15


@pytest.mark.parametrize("stage", STAGES)
def test_input_and_output_stay_float32_in_mixed_precision(stage):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = build_network(stage, TINY)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert keras.backend.standardize_dtype(network.output.dtype) == "float32"
    assert any(layer.compute_dtype == "bfloat16" for layer in network.layers)
    assert network(image_of((16, 16, 16), CHANNELS[stage][0])).dtype == "float32"


def test_the_papers_u_net_has_the_papers_layers():
    """Five levels of 64 filters, two 3×3×3 convolutions before and two after each skip."""
    network = build_network("vertebra_segmentation", SIZES[Size.PAPER])
    kernels = [
        tuple(layer.kernel.shape)
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv3D) and layer.name != "head"
    ]
    assert len(kernels) == 5 * 2 + 4 * 2
    assert {kernel[:3] for kernel in kernels} == {(3, 3, 3)}
    assert {kernel[4] for kernel in kernels} == {64}
    assert sum(kernel[3] == 128 for kernel in kernels) == 4  # skip and upsampled together
    pools = [p for p in network.layers if isinstance(p, keras.layers.AveragePooling3D)]
    assert len(pools) == 4


def test_a_transposed_decoder_takes_skip_and_coarse_features_apart():
    network = build_network("vertebra_segmentation", SIZES[Size.COMPACT])
    joined = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv3DTranspose)]
    assert [layer.filters for layer in joined] == [64, 64, 32, 16]
    assert {(layer.kernel_size, layer.strides) for layer in joined} == {((4, 4, 4), (2, 2, 2))}
    assert not any(isinstance(layer, keras.layers.Concatenate) for layer in network.layers)
    plain = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv3D)]
    kernels = [layer.kernel.shape[3:] for layer in plain if layer.name != "head"]
    assert kernels[10:] == [(64, 64)] * 4 + [(32, 32)] * 2 + [(16, 16)] * 2


def test_the_papers_spatial_configuration_is_four_wide_convolutions_at_a_quarter():
    network = build_network("vertebra_localisation", SIZES[Size.PAPER])
    wide = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv3D) and layer.kernel_size == (7, 7, 7)
    ]
    assert [layer.filters for layer in wide] == [64, 64, 64, 26]
    assert wide[-1].activation is keras.activations.tanh
    assert [p.pool_size for p in network.layers if "pooling" in p.name][-1] == (4, 4, 4)
    assert any(isinstance(layer, keras.layers.Multiply) for layer in network.layers)


def test_the_spatial_part_can_silence_a_channel():
    """Heatmaps are local × spatial: where the spatial factor is zero, so is the heatmap."""
    network = build_network("vertebra_localisation", TINY_PLAIN)
    spatial = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv3D) and layer.kernel_size == (7, 7, 7)
    ][-1]
    kernel, bias = spatial.get_weights()
    spatial.set_weights([np.zeros_like(kernel), np.where(np.arange(26) == 5, 0.0, bias)])
    answer = np.asarray(network(image_of((16, 16, 16), 1)))
    assert (answer[..., 5] == 0).all()
    assert (answer[..., 6] != 0).any()


def test_where_a_vertebra_is_does_not_depend_on_its_name():
    """Heatmaps as shares: silence one name, and the chance of any vertebra stays."""
    network = build_network("vertebra_localisation", TINY)
    image = image_of((16, 16, 16), 1)
    before = np.asarray(shares(network(image)))
    spatial = [layer for layer in network.layers if getattr(layer, "kernel_size", 0) == (7, 7, 7)]
    kernel, bias = spatial[-1].get_weights()
    spatial[-1].set_weights([kernel, np.where(np.arange(26) == 5, -50.0, bias)])
    after = np.asarray(shares(network(image)))
    assert after[..., 5].max() < 1e-6 < before[..., 5].min()
    assert after.sum(axis=-1) == pytest.approx(before.sum(axis=-1), rel=1e-4)


def test_every_configuration_names_a_size_and_lattices_the_networks_take():
    for configs in CONFIGS.values():
        for stage, config in configs.items():
            assert config.stage == stage
            assert isinstance(config.size, NetworkSize)
            assert all(n % 16 == 0 for n in config.sample_size)
