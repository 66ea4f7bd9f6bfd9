"""Samples of a small case, as a training draws them."""

import numpy as np

from tests.helpers.training_cases import ball_case
from tests.helpers.trainings import config_of as small_config
from verse_train.data.samples import draw_sample
from verse_train.sizes import Size


def config_of(stage):
    return small_config(stage, 1, Size.COMPACT, spacing_mm=4.0, sample_size=(24, 24, 44), sigma=2.0)


def sample_of(stage):
    return draw_sample(ball_case(), config_of(stage), np.random.default_rng(0))
