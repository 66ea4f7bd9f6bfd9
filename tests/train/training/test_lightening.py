from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.helpers.tiny_weights import write_weights
from tests.helpers.training_cases import TINY
from tests.helpers.trainings import config_of, settings
from verse_infer.errors import UsageError
from verse_infer.weights import STAGES
from verse_train.networks.architectures import SIZES, build_network
from verse_train.networks.layers import Upsampling3D
from verse_train.training.lightening import lighten, lightened, transposed_kernel
from verse_train.training.run import CHECKPOINT, load_network, train

pytestmark = pytest.mark.usefixtures("tiny_sizes")


def both_ways(features, kernel):
    """Enlarged, then convolved; and by the transposed convolution. Float32, z, y, x, c."""
    enlarged = Upsampling3D()(features[None])
    one = keras.ops.conv(enlarged, kernel, padding="same")
    other = keras.ops.conv_transpose(
        features[None], transposed_kernel(kernel), strides=2, padding="same"
    )
    return np.asarray(one)[0], np.asarray(other)[0]


@pytest.fixture
def kernel():
    return np.random.default_rng(0).normal(size=(3, 3, 3, 2, 5)).astype(np.float32)


def test_constant_features_give_the_same_inside(kernel):
    one, other = both_ways(np.full((6, 5, 4, 2), 3.0, np.float32), kernel)
    assert one.shape == other.shape == (12, 10, 8, 5)
    assert np.allclose(one[1:-1, 1:-1, 1:-1], other[1:-1, 1:-1, 1:-1], atol=1e-3)


def test_a_kernel_that_looks_at_its_own_voxel_gives_the_same_anywhere():
    """Then no third coarse voxel is seen, along no axis."""
    kernel = np.zeros((3, 3, 3, 2, 5), np.float32)
    kernel[1, 1, 1] = np.random.default_rng(0).normal(size=(2, 5))
    features = np.random.default_rng(1).normal(size=(6, 5, 4, 2)).astype(np.float32)
    one, other = both_ways(features, kernel)
    assert np.allclose(one[1:-1, 1:-1, 1:-1], other[1:-1, 1:-1, 1:-1], atol=1e-5)


def test_smooth_features_give_nearly_the_same_and_nothing_is_shifted(kernel):
    places = np.stack(np.meshgrid(*[np.arange(n) for n in (16, 14, 12)], indexing="ij"), axis=-1)
    features = np.sin(places @ [[0.3, 0.1], [0.1, 0.3], [-0.2, 0.2]]).astype(np.float32)
    one, other = (a[2:-2, 2:-2, 2:-2].ravel() for a in both_ways(features, kernel))
    assert np.corrcoef(one, other)[0, 1] > 0.995


@pytest.mark.parametrize("stage", STAGES)
def test_all_weights_but_the_enlargings_stay_as_they_are(stage):
    network = build_network(stage, TINY)
    for number, layer in enumerate(layer for layer in network.layers if layer.weights):
        rng = np.random.default_rng(number)
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    light = lightened(network, config_of(stage, 1, "tiny light"))
    kept = [w for layer in network.layers for w in layer.get_weights()]
    found = [
        w
        for layer in light.layers
        if not isinstance(layer, keras.layers.Conv3DTranspose)
        for w in layer.get_weights()
    ]
    assert len(found) == len(kept)
    assert sum(w.shape != k.shape for w, k in zip(found, kept, strict=True)) == 2
    for w, k in zip(found, kept, strict=True):
        assert np.array_equal(w, k[tuple(slice(n) for n in w.shape)])


@pytest.mark.usefixtures("in_process")
def test_the_light_network_of_weights_is_trained_on(tmp_path, groups, monkeypatch):
    monkeypatch.setitem(SIZES, "compact", TINY)
    write_weights(tmp_path / "weights")
    config = config_of(STAGES[2], 4, "tiny light")
    lighten(tmp_path / "weights", config, tmp_path / "light")
    begun = load_network(tmp_path / "light", config).get_weights()
    trained = train(config, groups, settings(tmp_path / "light")).get_weights()
    assert [w.shape for w in begun] == [w.shape for w in trained]
    assert any((a != b).any() for a, b in zip(begun, trained, strict=True))
    with pytest.raises(UsageError, match="expected a folder without a training"):
        lighten(tmp_path / "weights", config, tmp_path / "light")
    with pytest.raises(UsageError, match="expected a stage with a light network, got tiny"):
        lighten(tmp_path / "weights", replace(config, size="tiny"), tmp_path / "other")
    assert (tmp_path / "light" / CHECKPOINT).exists()
