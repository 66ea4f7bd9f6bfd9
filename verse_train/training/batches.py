"""Samples as a Keras model takes them: batches of one, whose images may differ in size.

Told nothing, Keras lets TensorFlow expect the sizes of the first two batches, and refuses others.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from verse_train.config import TrainingConfig
from verse_train.data.feed import Feed
from verse_train.data.samples import Sample

#: Input and target; an input is an image or, for stage 2, an image and rows of landmarks.
Batch = tuple[Any, Any]


def endless_batches(feed: Feed[Sample], config: TrainingConfig) -> Any:
    """The samples of a feed, one at a time."""
    batches = (_batch(sample, config) for sample in feed)
    if keras.backend.backend() != "tensorflow":
        return batches
    first = next(batches)
    return _tensorflow_dataset(first, lambda: itertools.chain([first], batches))


def fixed_batches(samples: Sequence[Sample], config: TrainingConfig) -> Any:
    """The same batches in every epoch; None where there are none."""
    batches = [_batch(sample, config) for sample in samples]
    if not batches or keras.backend.backend() != "tensorflow":
        return _FixedBatches(batches) if batches else None
    import tensorflow as tf

    known_length = tf.data.experimental.assert_cardinality(len(batches))
    return _tensorflow_dataset(batches[0], lambda: batches).apply(known_length)


def _tensorflow_dataset(like: Batch, batches: Callable[[], Iterable[Batch]]) -> Any:
    """A data set whose images, (1, z, y, x, c), may have any z, y, x; the rest is shaped as `like`."""
    import tensorflow as tf

    def signature(values: NDArray[np.float32]) -> Any:
        image = values.ndim == 5
        shape = (1, None, None, None, values.shape[-1]) if image else values.shape
        return tf.TensorSpec(shape, values.dtype)

    signatures = keras.tree.map_structure(signature, like)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signatures)
    return dataset.prefetch(1)


def _batch(sample: Sample, config: TrainingConfig) -> Batch:
    """A batch of one, as in the papers."""
    image, target = sample.image[None], sample.target[None]
    if config.stage == "vertebra_localisation":
        return (image, target), np.zeros((1, 1), np.float32)
    return image, target


class _FixedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """The same batches in every epoch."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]
