"""Device and precision are chosen once for a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from threadpoolctl import threadpool_info

from verse_infer import runtime
from verse_infer.errors import UsageError
from verse_infer.runtime import BFLOAT16_FLAGS, Runtime, configure, processor_flags

ROOT = Path(__file__).resolve().parents[2]
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
    gpus = ["a card"] if on_gpu else []
    monkeypatch.setattr(runtime, "processor_flags", lambda: flags)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: gpus)
    found, cards = runtime._choose("auto", asked)
    assert found == Runtime("/GPU:0" if on_gpu else "/CPU:0", chosen)
    assert found.batch == (4 if on_gpu else 1)
    assert cards == gpus
    assert not on_gpu or runtime._choose("cpu", "float32")[0] == Runtime("/CPU:0", "float32")


@pytest.mark.parametrize(
    ("device", "precision", "gpus", "message"),
    [
        ("auto", "float16", [], "--precision float16 needs a GPU; use auto, float32 or bfloat16"),
        ("auto", "bfloat16", ["g"], "--precision bfloat16 is for the CPU; use auto, float32 or"),
        ("gpu", "auto", [], "--device gpu: TensorFlow sees no GPU; use --device auto or cpu"),
    ],
)
def test_what_the_machine_has_not_is_refused(monkeypatch, device, precision, gpus, message):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: gpus)
    with pytest.raises(UsageError, match=message):
        configure(device, precision)


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


def ask_for(*precisions):
    """What a process says that is asked for these one after the other."""
    command = [sys.executable, "-m", "tests.helpers.precisions", *precisions]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_no_network_ever_computes_in_another_precision_than_it_says():
    """In both orders the second is refused, and changes nothing of the first."""
    answers = {}
    for first, second in (("float32", "bfloat16"), ("bfloat16", "float32")):
        one, refused, again = ask_for(first, second, first)
        assert one["precision"] == again["precision"] == first
        assert one["first"] == one["last"] == again["first"] == again["last"]
        assert f"computes in {first} on /CPU:0 already" in refused["refused"]
        assert f"got {second} on /CPU:0" in refused["refused"]
        answers[first] = one["first"]
    if processor_flags() & BFLOAT16_FLAGS:
        assert answers["float32"] != answers["bfloat16"]


def test_products_of_numpy_take_one_thread():
    configure("cpu", "float32")
    numpys = [lib for lib in threadpool_info() if "numpy" in lib["filepath"]]
    assert [lib["num_threads"] for lib in numpys] == [1]


def test_the_same_choice_gives_the_same_runtime():
    assert configure("cpu", "float32") is configure("cpu", "auto")
