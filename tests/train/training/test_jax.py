"""What was trained with Keras on JAX is exported, and may be trained on, with TensorFlow."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.jax_trainings import BUNDLED, CONFIGURATIONS, PRECISIONS, SPINE, STEPS, image_of
from tests.helpers.training_cases import ball_case
from tests.helpers.trainings import FeedInProcess, log_of, settings
from verse_infer.weights import STAGES
from verse_train.config import CONFIGS
from verse_train.data.prepared import save_prepared
from verse_train.export.weights_folder import save_frozen
from verse_train.networks.answers import FINISH, answer_of
from verse_train.training import run as training
from verse_train.training.run import load_network, train
from verse_train.training.start import network_of_weights

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    save_prepared(folder / "case.npz", ball_case(("L1", "L2"), 8.0, (12, 12, 14), radius=14.0))
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # a few steps: compiling is what takes time
    }
    command = [sys.executable, "-m", "tests.helpers.jax_trainings", folder / "case.npz", folder]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_steps_are_compiled_and_a_training_is_resumed_where_it_was(trained):
    facts = json.loads((trained / "facts.json").read_text())
    assert facts["backend"] == "jax"
    assert facts["compiled"] is True
    assert facts["started"] == [0, 4, 0, 0]  # of two trainings of stage 1, the second after 4 steps


@pytest.mark.parametrize("stage", STAGES)
def test_a_training_writes_all_that_it_writes_with_tensorflow(trained, stage):
    rows = log_of(trained / stage)
    assert [int(row["epoch"]) for row in rows] == list(range(STEPS[stage][-1] // 2))
    for name in ("loss", "val_loss"):
        assert all(np.isfinite(float(row[name])) for row in rows)
    assert float(rows[-1]["loss"]) <= float(rows[0]["loss"])
    assert list((trained / stage / "tensorboard").iterdir())
    assert list((trained / stage / "pictures").glob("epoch-*.png"))


@pytest.mark.parametrize("stage", STAGES)
def test_its_checkpoint_is_exported_with_tensorflow_and_answers_the_same(trained, stage, tmp_path):
    import tensorflow as tf

    config = CONFIGURATIONS[stage]
    network = load_network(trained / stage, config)
    precision = PRECISIONS[stage].removeprefix("mixed_")
    assert precision in {layer.compute_dtype for layer in network.layers}
    save_frozen(network, tmp_path / "model", answer_of(config))
    model = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    found = model(tf.constant(image_of(stage)))["output"].numpy()
    expected = np.asarray(FINISH[answer_of(config)](np.load(trained / stage / "answer.npy")))
    assert np.abs(found - expected).max() < 1e-3 * np.ptp(expected)


def test_a_training_begins_with_the_bundled_weights_on_jax_too(trained):
    network = network_of_weights(BUNDLED, CONFIGS["compact"][SPINE])
    expected = np.asarray(network(image_of(SPINE)))
    assert np.abs(np.load(trained / "bundled.npy") - expected).max() < 1e-4 * np.ptp(expected)


@pytest.mark.usefixtures("in_process")
def test_its_training_continues_with_tensorflow(trained, groups, tmp_path):
    config = replace(CONFIGURATIONS[SPINE], steps=8)
    run = settings(shutil.copytree(trained / SPINE, tmp_path / SPINE))
    assert training.begun_model(config, run).jit_compile is False
    train(config, groups, run)
    assert FeedInProcess.started == (6,)
    assert [int(row["epoch"]) for row in log_of(run.folder)] == [0, 1, 2, 3]
