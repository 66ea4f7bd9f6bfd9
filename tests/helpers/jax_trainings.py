"""Trainings with Keras on JAX, for test_jax.py: a process has one backend.

KERAS_BACKEND=jax python -m tests.helpers.jax_trainings CASE FOLDER
FOLDER/STAGE gets each stage's training and, as answer.npy, what its network says of image_of(STAGE);
FOLDER/facts.json what else there is to know.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from tests.helpers.training_cases import LEAST, TINY_PLAIN, TINY_TRANSPOSED
from tests.helpers.trainings import FeedInProcess, config_of, settings
from verse_infer.weights import STAGES
from verse_train.config import CONFIGS
from verse_train.data.feed import CaseGroup
from verse_train.networks.answers import in_float32
from verse_train.training import run as training
from verse_train.training.start import network_of_weights

SPINE, VERTEBRAE, MASK = STAGES
BUNDLED = Path(__file__).parents[2] / "weights"
#: As small as XLA compiles quickly: two levels, so that something is enlarged, or one.
PLAIN, TRANSPOSED = (replace(size, filters=(2, 2)) for size in (TINY_PLAIN, TINY_TRANSPOSED))
#: Of each stage: steps are those of the last of its trainings, which continues the ones before.
STEPS = {SPINE: (4, 6), VERTEBRAE: (2,), MASK: (2,)}
CONFIGURATIONS = {
    SPINE: config_of(SPINE, 6, PLAIN, decay=5e-4, rate_falls=True),
    VERTEBRAE: config_of(VERTEBRAE, 2, LEAST),
    MASK: config_of(MASK, 2, TRANSPOSED, dice_loss=True),
}
PRECISIONS = {SPINE: "float32", VERTEBRAE: "float32", MASK: "mixed_bfloat16"}


def image_of(stage):
    channels = 2 if stage == MASK else 1
    return np.random.default_rng(0).uniform(-1, 1, (1, 16, 32, 16, channels)).astype(np.float32)


def train_all(case, folder):
    groups = [CaseGroup((case,), 1.0)]
    for stage, config in CONFIGURATIONS.items():
        run = settings(folder / stage, 2, PRECISIONS[stage])
        for steps in STEPS[stage]:
            network = training.train(replace(config, steps=steps), groups, run, held=groups)
        answer = in_float32(network)(image_of(stage))
        np.save(folder / stage / "answer.npy", keras.ops.convert_to_numpy(answer))


def facts(folder):
    model = training.begun_model(CONFIGURATIONS[MASK], settings(folder / MASK))
    keras.mixed_precision.set_global_policy("float32")
    taken_up = network_of_weights(BUNDLED, CONFIGS["compact"][SPINE])
    np.save(folder / "bundled.npy", keras.ops.convert_to_numpy(taken_up(image_of(SPINE))))
    return {
        "backend": keras.backend.backend(),
        "started": FeedInProcess.started,
        "compiled": model.jit_compile,
    }


def main(case, folder):
    training.Feed = FeedInProcess
    train_all(case, folder)
    (folder / "facts.json").write_text(json.dumps(facts(folder)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
