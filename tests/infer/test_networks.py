"""What networks say, and averaging; loading is tested with the export."""

import numpy as np
import pytest

from tests.helpers.fake_networks import STAGE_WEIGHTS, fake_networks
from verse_infer import networks
from verse_infer.errors import WeightsError
from verse_infer.networks import Network, load_networks
from verse_infer.weights import OUTPUT


def test_weights_are_checked_before_tensorflow_is_set_up(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "configure", lambda *_: pytest.fail("too early"))
    with pytest.raises(WeightsError, match="no such file"):
        load_networks(tmp_path)


def times(factor):
    return lambda tensor: {OUTPUT: np.asarray(tensor) * factor}


@pytest.mark.parametrize(("factors", "mean"), [((1.0,), 1.0), ((1.0, 2.0, 6.0), 3.0)])
def test_several_networks_are_averaged(factors, mean):
    weights = STAGE_WEIGHTS["spine_localisation"]
    network = Network(weights, tuple(times(factor) for factor in factors), "/CPU:0")
    image = np.random.default_rng(0).normal(0, 1, (4, 5, 6, 1)).astype(np.float32)
    found = network(image)
    assert found.shape == image.shape
    assert found.dtype == np.float32
    assert found == pytest.approx(mean * image, rel=1e-5)
    images = np.stack([image, -image])
    assert network.run_batch(images) == pytest.approx(mean * images, rel=1e-5)


def test_networks_are_found_by_their_stage():
    all_three = fake_networks(**dict.fromkeys(STAGE_WEIGHTS, np.zeros_like))
    for stage, weights in STAGE_WEIGHTS.items():
        assert all_three[stage].weights == weights


def test_a_network_may_say_several_things():
    def answer(factor):
        return lambda tensor: {
            "names": np.asarray(tensor) * factor,
            "body": np.full((len(tensor), 1), factor, np.float32),
        }

    weights = STAGE_WEIGHTS["spine_localisation"]
    network = Network(weights, (answer(1.0), answer(3.0)), "/CPU:0")
    images = np.random.default_rng(0).normal(0, 1, (2, 4, 5, 6, 1)).astype(np.float32)
    found = network.run_heads(images)
    assert found.keys() == {"names", "body"}
    assert found["names"] == pytest.approx(2 * images, rel=1e-5)
    assert found["body"].tolist() == [[2.0], [2.0]]
