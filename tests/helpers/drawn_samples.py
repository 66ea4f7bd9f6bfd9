"""Samples of a small case, as a training draws them."""

import numpy as np

from tests.helpers.training_cases import ball_case
from verse_train.config import Augmentation, TrainingConfig
from verse_train.data.samples import draw_sample

NOTHING = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def config_of(stage):
    return TrainingConfig(stage, "compact", 4.0, (24, 24, 44), 1, 1e-3, NOTHING, sigma=2.0)


def sample_of(stage):
    return draw_sample(ball_case(), config_of(stage), np.random.default_rng(0))
