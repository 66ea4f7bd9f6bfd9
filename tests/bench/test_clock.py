import keras
import numpy as np
import pytest

from tests.helpers.fake_networks import STAGE_WEIGHTS, fake_networks
from verse_bench.clock import Clock, bare_seconds, convolution_flops
from verse_infer.networks import Network, _load
from verse_train.export.weights_folder import save_frozen

IMAGE = np.ones((4, 3, 2, 1), np.float32)


def networks():
    return fake_networks(
        spine_localisation=lambda image: 2 * image,
        vertebra_localisation=lambda image: 3 * image,
        vertebra_segmentation=lambda image: 4 * image,
    )


def test_every_call_is_noted_under_its_stage_and_answers_as_before():
    clock = Clock()
    timed = clock.timed(networks())
    assert (timed["spine_localisation"](IMAGE) == 2).all()
    timed["vertebra_segmentation"](IMAGE)
    timed["vertebra_segmentation"].run_batch(np.stack([IMAGE, IMAGE]))
    assert [len(clock.of(stage)) for stage in STAGE_WEIGHTS] == [1, 0, 2]
    assert [call.shape[0] for call in clock.of("vertebra_segmentation")] == [1, 2]
    assert all(call.seconds > 0 for call in clock.calls)


def test_an_answer_replaces_what_a_random_network_says():
    timed = Clock().timed(networks(), {"vertebra_segmentation": np.zeros_like})
    assert (timed["vertebra_segmentation"](IMAGE) == 0).all()
    assert (timed["vertebra_localisation"](IMAGE) == 3).all()


def test_a_bare_call_takes_time():
    assert bare_seconds(networks()["spine_localisation"], (1, 4, 3, 2, 1), repeats=2) > 0


@pytest.mark.parametrize("batch", [1, 3])
def test_multiplications_and_additions_are_counted_by_hand(tmp_path, batch):
    """8·6·4 voxels, 3³ weights of 2 channels for each of 5; then 1 weight of 5 channels for 1."""
    inputs = keras.Input((None, None, None, 2))
    features = keras.layers.Conv3D(5, 3, padding="same")(inputs)
    model = keras.Model(inputs, keras.layers.Conv3D(1, 1)(features))
    save_frozen(model, tmp_path / "model")
    weights = STAGE_WEIGHTS["vertebra_segmentation"]
    network = Network(weights, (_load(tmp_path / "model", weights),), "/CPU:0")
    expected = batch * 8 * 6 * 4 * 2 * (27 * 2 * 5 + 5)
    assert convolution_flops(network, (batch, 8, 6, 4, 2)) == expected


def test_a_transposed_convolution_counts_at_every_voxel_it_takes(tmp_path):
    """8·6·4 voxels after halving 4·3·2, each 4³ weights of 5 channels for each of 2; then 1 of 2 for 1."""
    inputs = keras.Input((None, None, None, 2))
    coarse = keras.layers.Conv3D(5, 1)(keras.layers.AveragePooling3D(2)(inputs))
    fine = keras.layers.Conv3DTranspose(2, 4, strides=2, padding="same")(coarse)
    model = keras.Model(inputs, keras.layers.Conv3D(1, 1)(fine))
    save_frozen(model, tmp_path / "model")
    weights = STAGE_WEIGHTS["vertebra_segmentation"]
    network = Network(weights, (_load(tmp_path / "model", weights),), "/CPU:0")
    coarse_flops = 2 * 4 * 3 * 2 * (2 * 5 + 4**3 * 5 * 2)
    assert convolution_flops(network, (1, 8, 6, 4, 2)) == coarse_flops + 2 * 8 * 6 * 4 * 2
