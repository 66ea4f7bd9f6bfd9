"""Small trainings: their configurations, settings, logs, and a feed without processes."""

import csv

from tests.helpers.training_cases import TINY
from verse_train.config import Augmentation, TrainingConfig
from verse_train.training.run import LOG, RunSettings

NOTHING = Augmentation(rotation_deg=0, scale=0, intensity_scale=0, intensity_shift=0)


class FeedInProcess:
    """The stream of Feed, drawn here: no other process has to start."""

    started = ()

    def __init__(self, draw, workers, first=0):
        del workers
        self.draw, self.first = draw, first
        self.waited_s = 0.0
        FeedInProcess.started += (first,)

    def __iter__(self):
        number = self.first
        while True:
            yield self.draw(number)
            number += 1


def config_of(stage, steps, size=TINY, **other):
    usual = {"spacing_mm": 8.0, "sample_size": (16, 16, 16), "rate": 1e-2, "augmentation": NOTHING}
    return TrainingConfig(stage=stage, size=size, steps=steps, **{**usual, **other})


def settings(folder, steps_per_epoch=2, precision="float32"):
    return RunSettings(folder, steps_per_epoch=steps_per_epoch, precision=precision)


def log_of(folder):
    with (folder / LOG).open(newline="") as file:
        return list(csv.DictReader(file))
