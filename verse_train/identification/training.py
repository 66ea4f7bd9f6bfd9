"""Training of the identification network: minutes, not days; continues where it was stopped."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verse_infer.errors import InputError
from verse_infer.identification import STRIDE
from verse_infer.straightening import CHANNELS, COLUMNS
from verse_train.data.feed import CaseGroup, Feed
from verse_train.identification.network import build_identification_network, identification_loss
from verse_train.identification.samples import (
    BODY,
    NAME,
    PictureSample,
    numbered_picture_sample,
)
from verse_train.training.run import (
    CHECKPOINT,
    RunSettings,
    alone,
    checkpoint_of,
    falling_rate,
    fit,
    record_patients,
)

logger = logging.getLogger(__name__)
#: Samples looked at before training, and samples of held-out cases.
FIRST_SAMPLES, HELD_SAMPLES = 12, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentificationTraining:
    """AdamW with a rate that falls as a half cosine to zero; batch: pictures a step."""

    steps: int = 3000
    rate: float = 1.5e-3
    batch: int = 6
    weight_decay: float = 1e-2


def train_identification(
    config: IdentificationTraining,
    groups: Sequence[CaseGroup],
    run: RunSettings,
    held: Sequence[CaseGroup] = (),
) -> keras.Model:
    """Train one network to the end, continuing from the last checkpoint in the folder if any.

    held: cases that are not trained on; the log gets their loss (val_loss). The folder's samples.png
    shows what training starts with; InputError if no sample of it shows a vertebra. In float32: the
    network is small. Waits while another process trains in the folder.
    """
    with alone(run.folder):
        keras.mixed_precision.set_global_policy("float32")
        keras.utils.set_random_seed(run.seed)
        model = _begun_model(config, run)
        record_patients(groups, run)
        done = int(model.optimizer.iterations)
        epochs = -(-config.steps // run.steps_per_epoch)
        logger.info(
            "vertebra_identification: %d of %d steps done; %s", done, config.steps, asdict(config)
        )
        if done // run.steps_per_epoch < epochs:
            _look_at_first_samples(config, groups, run)
            _fit(model, config, groups, run, held)
        return model


def _fit(
    model: keras.Model,
    config: IdentificationTraining,
    groups: Sequence[CaseGroup],
    run: RunSettings,
    held: Sequence[CaseGroup],
) -> None:
    draw = partial(numbered_picture_sample, tuple(groups), config.batch, run.seed)
    feed = Feed(draw, run.workers, first=int(model.optimizer.iterations) * config.batch)
    batches = _dataset(_batches(feed, config.batch)), _held_batches(held, config, run.seed)
    fit(model, batches, feed, run, config.steps)


def _begun_model(config: IdentificationTraining, run: RunSettings) -> keras.Model:
    """The model of the folder's checkpoint, else of the start's, else a new one; compiled."""
    checkpoint = run.folder / CHECKPOINT
    if checkpoint.exists() or run.start is not None:
        model = load_identification(run.folder if checkpoint.exists() else run.start)  # type: ignore[arg-type]
        model.optimizer.learning_rate = falling_rate(config.rate, config.steps)
        return model
    model = build_identification_network()
    optimiser = keras.optimizers.AdamW(
        falling_rate(config.rate, config.steps),
        weight_decay=config.weight_decay,
        global_clipnorm=1.0,
    )
    model.compile(optimiser, loss=identification_loss, jit_compile=False)
    return model


def load_identification(folder: Path) -> keras.Model:
    """The network of a training folder's last checkpoint."""
    return keras.models.load_model(checkpoint_of(folder))


Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


def _batch(samples: Sequence[PictureSample]) -> Batch:
    return np.stack([s.picture for s in samples]), np.stack([s.target for s in samples])


def _batches(feed: "Feed[PictureSample]", size: int) -> Iterator[Batch]:
    waiting: deque[PictureSample] = deque()
    for sample in feed:
        waiting.append(sample)
        if len(waiting) == size:
            yield _batch(waiting)
            waiting.clear()


def _held_batches(held: Sequence[CaseGroup], config: IdentificationTraining, seed: int) -> Any:
    """The same samples of held-out cases in every epoch; None where there are none."""
    if not held:
        return None
    samples = [
        numbered_picture_sample(held, config.batch, seed, number) for number in range(HELD_SAMPLES)
    ]
    batches = [
        _batch(samples[first : first + config.batch])
        for first in range(0, HELD_SAMPLES, config.batch)
    ]
    return _dataset(batches, len(batches))


def _dataset(batches: Any, count: int | None = None) -> Any:
    """Batches of any length as Keras takes them; an endless iterator, or so many again and again."""
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    signature = (
        tf.TensorSpec((None, None, COLUMNS, CHANNELS), tf.float32),
        tf.TensorSpec((None, None, 7), tf.float32),
    )
    dataset = tf.data.Dataset.from_generator(lambda: batches, output_signature=signature)
    if count is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(1)


def _look_at_first_samples(
    config: IdentificationTraining, groups: Sequence[CaseGroup], run: RunSettings
) -> None:
    samples = [
        numbered_picture_sample(groups, config.batch, run.seed, number)
        for number in range(FIRST_SAMPLES)
    ]
    draw_picture_samples(samples[::2]).save(run.folder / "samples.png")
    if not any((sample.target[:, NAME] >= 0).any() for sample in samples):
        raise InputError(
            f"{run.folder / 'samples.png'}: expected vertebrae in the first {FIRST_SAMPLES} samples, "
            "found none: nothing to learn names from"
        )


def draw_picture_samples(samples: Sequence[PictureSample]) -> Image.Image:
    """Samples beside each other, head up: four channels, bodies (red), names (blue to green)."""
    height = max(len(sample.picture) for sample in samples)
    strips = []
    for sample in samples:
        grey = np.concatenate(list(np.moveaxis(sample.picture, -1, 0)), axis=1)
        shown = np.clip((grey + 0.4) / 1.4 * 255, 0, 255).astype(np.uint8)
        strip = np.zeros((height, shown.shape[1] + 12, 3), np.uint8)
        strip[: len(shown), 12:] = shown[..., None]
        rows = np.repeat(sample.target, STRIDE, axis=0)
        strip[: len(rows), :6, 0] = (255 * np.clip(rows[:, BODY], 0, 1))[:, None].astype(np.uint8)
        named = np.flatnonzero(rows[:, NAME] >= 0)
        strip[named, 6:11, 2] = 255 - 9 * rows[named, NAME].astype(np.uint8)[:, None]
        strip[named, 6:11, 1] = 9 * rows[named, NAME].astype(np.uint8)[:, None]
        strips.append(strip[::-1])
    return Image.fromarray(np.concatenate(strips, axis=1))
