"""Choice of device and precision, and averaging; loading is tested with the export."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.fake_networks import STAGE_WEIGHTS, fake_networks
from verse_infer import networks
from verse_infer.errors import UsageError, WeightsError
from verse_infer.networks import Network, load_networks, processor_flags
from verse_infer.weights import OUTPUT

AMX, PLAIN = frozenset({"fpu", "amx_bf16"}), frozenset({"fpu", "avx2"})


@pytest.mark.parametrize(
    ("asked", "on_gpu", "flags", "chosen"),
    [
        ("auto", False, AMX, "bfloat16"),
        ("auto", False, frozenset({"avx512_bf16"}), "bfloat16"),
        ("auto", False, PLAIN, "float32"),
        ("auto", False, frozenset(), "float32"),
        ("auto", True, AMX, "float16"),
        ("auto", True, PLAIN, "float16"),
        ("float32", False, AMX, "float32"),
        ("float32", True, AMX, "float32"),
        ("bfloat16", False, PLAIN, "bfloat16"),  # slow, but asked for
        ("float16", True, PLAIN, "float16"),
    ],
)
def test_precision_follows_the_wish_then_the_machine(monkeypatch, asked, on_gpu, flags, chosen):
    monkeypatch.setattr(networks, "processor_flags", lambda: flags)
    assert networks._choose_precision(asked, on_gpu) == chosen


@pytest.mark.parametrize(
    ("asked", "on_gpu", "message"),
    [
        ("float16", False, "--precision float16 needs a GPU; use auto, float32 or bfloat16"),
        ("bfloat16", True, "--precision bfloat16 is for the CPU; use auto, float32 or float16"),
    ],
)
def test_a_precision_that_the_device_has_not_is_refused(asked, on_gpu, message):
    with pytest.raises(UsageError, match=message):
        networks._choose_precision(asked, on_gpu)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor : 0\nflags\t\t: fpu amx_bf16\nprocessor : 1\nflags\t\t: fpu\n", True),
        ("processor : 0\nflags\t\t: fpu avx2\n", False),
        ("processor : 0\nFeatures : asimd\n", False),
        ("", False),
    ],
)
def test_the_first_processor_tells_its_instructions(monkeypatch, text, flags):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert ("amx_bf16" in processor_flags()) == flags


def test_a_machine_without_cpuinfo_has_no_known_instructions(monkeypatch):
    def fail(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    assert processor_flags() == frozenset()


@pytest.fixture
def calls(monkeypatch):
    """What is told to TensorFlow, without telling it: the settings are of the whole process."""
    told = {}
    config = tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda _: told["gpus"])
    monkeypatch.setattr(
        config, "set_visible_devices", lambda devices, kind: told.update(visible=(devices, kind))
    )
    monkeypatch.setattr(config.optimizer, "set_experimental_options", told.update)
    experimental = config.experimental
    monkeypatch.setattr(
        experimental, "set_memory_growth", lambda gpu, _: told.setdefault("grow", []).append(gpu)
    )
    monkeypatch.setattr(
        experimental, "enable_tensor_float_32_execution", lambda on: told.update(tf32=on)
    )
    monkeypatch.setattr(networks, "processor_flags", lambda: AMX)
    return told


@pytest.mark.parametrize(
    ("device", "precision", "gpus", "expected"),
    [
        ("auto", "auto", [], ("/CPU:0", "bfloat16")),
        ("cpu", "float32", [], ("/CPU:0", "float32")),
        ("cpu", "auto", ["g"], ("/CPU:0", "bfloat16")),
        ("auto", "auto", ["g"], ("/GPU:0", "float16")),
        ("gpu", "float32", ["g"], ("/GPU:0", "float32")),
    ],
)
def test_tensorflow_is_told_device_and_precision(calls, device, precision, gpus, expected):
    calls["gpus"] = gpus
    assert networks._set_up(device, precision) == expected
    assert calls["auto_mixed_precision_onednn_bfloat16"] is (expected[1] == "bfloat16")
    assert calls["auto_mixed_precision"] is (expected[1] == "float16")
    assert calls["tf32"] is (precision != "float32")
    on_gpu = expected[0] == "/GPU:0"
    assert calls.get("visible") == (None if on_gpu else ([], "GPU"))
    assert calls.get("grow") == (["g"] if on_gpu else None)


def test_a_gpu_that_is_not_there_is_refused(calls):
    calls["gpus"] = []
    with pytest.raises(UsageError, match="--device gpu: TensorFlow sees no GPU; use --device auto"):
        networks._set_up("gpu", "auto")


def test_weights_are_checked_before_tensorflow_is_set_up(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_networks(tmp_path, "gpu", "float16")


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
