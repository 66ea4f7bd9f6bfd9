import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from verse_train.networks.layers import (
    InstanceNormalization,
    NamedHeatmaps,
    NamedLogits,
    Upsampling3D,
)
from verse_train.networks.losses import shares

SIZES = st.tuples(*[st.integers(1, 5)] * 3)


def volume(shape, channels, seed=0, batch=2):
    return np.random.default_rng(seed).normal(0, 1, (batch, *shape, channels)).astype(np.float32)


@given(SIZES, st.integers(1, 3), st.sampled_from([2, 3, 4]), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_linear_upsampling_is_scipys_zoom_of_each_channel(shape, channels, factor, seed):
    inputs = volume(shape, channels, seed)
    found = np.asarray(Upsampling3D(factor)(inputs))
    expected = scipy.ndimage.zoom(
        inputs, (1, factor, factor, factor, 1), order=1, mode="nearest", grid_mode=True
    )
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


def keys_taps(factor):
    """Keys' kernel (a = -0.5) at the distances of a transposed convolution's taps."""
    distance = np.abs((np.arange(4 * factor) + 0.5) / factor - 2)
    inner = 1.5 * distance**3 - 2.5 * distance**2 + 1
    outer = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance < 1, inner, outer)


def transposed_convolution(line, factor):
    """Zeros between the values, convolved with the taps, cropped on both sides to factor × n."""
    spread = np.zeros(len(line) * factor)
    spread[::factor] = line
    crop = factor + factor // 2  # 6 for a factor of 4
    return np.convolve(spread, keys_taps(factor))[crop : crop + len(spread)]


@given(SIZES, st.integers(1, 3), st.sampled_from([2, 4]), st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_cubic_upsampling_is_the_published_transposed_convolution(shape, channels, factor, seed):
    inputs = volume(shape, channels, seed)
    expected = inputs.astype(np.float64)
    for axis in (1, 2, 3):
        expected = np.apply_along_axis(transposed_convolution, axis, expected, factor)
    found = np.asarray(Upsampling3D(factor, "cubic")(inputs))
    assert np.abs(found - expected).max() < 1e-5


def test_cubic_taps_of_factor_four_sum_to_four_and_keep_a_constant_inside():
    assert keys_taps(4).sum() == pytest.approx(4)
    found = np.asarray(Upsampling3D(4, "cubic")(np.ones((1, 6, 6, 6, 1), np.float32)))[0, ..., 0]
    assert found[8:-8, 8:-8, 8:-8] == pytest.approx(1, abs=1e-5)
    assert abs(found[0, 12, 12] - 1) > 0.05  # nothing from outside contributes


def test_linear_upsampling_keeps_a_constant_everywhere():
    assert np.asarray(Upsampling3D()(np.full((1, 2, 3, 1, 1), 7.0))) == pytest.approx(7.0)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_upsampling_in_a_model_of_unknown_size_and_batch(policy):
    inputs = keras.Input((None, None, None, 2))
    outputs = Upsampling3D(2, dtype=policy)(inputs)
    assert outputs.shape == (None, None, None, None, 2)
    model = keras.Model(inputs, outputs)
    for shape in ((2, 3, 4), (4, 2, 2)):
        assert model(volume(shape, 2)).shape == (2, *(2 * n for n in shape), 2)
    assert keras.backend.standardize_dtype(outputs.dtype) == (
        "float32" if policy == "float32" else "bfloat16"
    )


def test_known_sizes_are_told_before_anything_is_computed():
    assert Upsampling3D(4).compute_output_shape((None, 3, None, 5, 6)) == (None, 12, None, 20, 6)
    assert InstanceNormalization().compute_output_shape((1, 2, 3, 4, 5)) == (1, 2, 3, 4, 5)


@given(st.integers(1, 4), st.floats(-20, 20), st.floats(0.5, 30), st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_instance_normalisation_is_keras_group_normalisation_of_single_channels(
    channels, mean, deviation, seed
):
    inputs = volume((4, 3, 5), channels, seed) * np.float32(deviation) + np.float32(mean)
    rng = np.random.default_rng(seed)
    weights = [rng.normal(1, 0.5, channels), rng.normal(0, 2, channels)]
    ours, keras_own = (
        InstanceNormalization(epsilon=1e-4),
        keras.layers.GroupNormalization(groups=-1, epsilon=1e-4),
    )
    for layer in (ours, keras_own):
        layer.build(inputs.shape)
        layer.set_weights(weights)
    assert np.asarray(ours(inputs)) == pytest.approx(np.asarray(keras_own(inputs)), abs=5e-3)


def test_samples_of_a_batch_are_normalised_each_by_itself():
    inputs = volume((4, 3, 5), 2) * np.array([1, 9], np.float32).reshape(2, 1, 1, 1, 1) + 3
    layer = InstanceNormalization()
    layer.build(inputs.shape)
    layer.set_weights([np.array([0.5, 2.0]), np.array([-1.0, 1.0])])
    together = np.asarray(layer(inputs))
    for sample, found in zip(inputs, together, strict=True):
        assert found == pytest.approx(np.asarray(layer(sample[None]))[0], abs=1e-5)


def test_what_tensorflow_normalises_at_once_is_what_single_operations_give(monkeypatch):
    inputs = volume((6, 5, 4), 3) * 5 + 2
    layer = InstanceNormalization()
    layer.build(inputs.shape)
    layer.set_weights([np.array([0.5, 1.0, 2.0]), np.array([-1.0, 0.0, 1.0])])
    fused = np.asarray(layer(inputs))
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    assert fused == pytest.approx(np.asarray(layer(inputs)), abs=1e-4)


def test_instance_normalisation_gives_mean_0_and_variance_1_and_survives_a_constant():
    inputs = volume((6, 5, 4), 3) * 5 + 2
    inputs[..., 2] = 3.0
    found = np.asarray(InstanceNormalization()(inputs))
    assert found.mean(axis=(1, 2, 3)) == pytest.approx(np.zeros((2, 3)), abs=1e-3)
    assert found[..., :2].std(axis=(1, 2, 3)) == pytest.approx(np.ones((2, 2)), abs=1e-3)
    assert np.isfinite(found).all()


def test_statistics_are_taken_in_float32_under_bfloat16():
    """bfloat16 keeps 8 digits: a sum of 32,768 values would be far from theirs."""
    inputs = np.ones((1, 32, 32, 32, 1), np.float32)
    inputs[:, ::2] = -3.0
    found = np.asarray(
        keras.ops.cast(InstanceNormalization(dtype="mixed_bfloat16")(inputs), "float32")
    )
    assert np.unique(found) == pytest.approx([-1.0, 1.0], abs=0.01)


@pytest.mark.parametrize(
    "layer", [Upsampling3D(4, "cubic"), Upsampling3D(2, "linear"), InstanceNormalization(1e-3)]
)
def test_layers_survive_saving(layer, tmp_path):
    inputs = keras.Input((None, None, None, 2))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    image = volume((2, 3, 4), 2)
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(np.asarray(again(image)), np.asarray(model(image)))


def test_named_heatmaps_are_the_chance_of_a_vertebra_shared_out_among_the_names():
    vertebra, names = volume((2, 2, 2), 1, 1), volume((2, 2, 2), 3, 2)
    found = np.asarray(NamedHeatmaps()([vertebra, names]))
    chance = scipy.special.expit(vertebra)
    assert found.sum(axis=-1, keepdims=True) == pytest.approx(chance, rel=1e-5)
    assert found / chance == pytest.approx(scipy.special.softmax(names, axis=-1), rel=1e-5)


def test_named_logits_give_the_named_heatmaps():
    inputs = [30 * volume((2, 2, 2), 1, 1), 30 * volume((2, 2, 2), 3, 2)]
    heatmaps, logits = (np.asarray(layer(inputs)) for layer in (NamedHeatmaps(), NamedLogits()))
    assert np.isfinite(logits).all()
    assert np.abs(np.asarray(shares(logits)) - heatmaps).max() < 1e-6
