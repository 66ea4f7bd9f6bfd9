"""Keras layers the method needs and Keras does not have; backend-neutral (TensorFlow, JAX)."""

from typing import Any, Literal

import keras
from keras import ops

Tensor = Any
Interpolation = Literal["linear", "cubic"]


@keras.saving.register_keras_serializable("verse_train")
class Upsampling3D(keras.layers.Layer):  # type: ignore[misc]
    """Enlarges z, y and x by a whole factor, channel by channel, half-pixel centres.

    linear: edge values are repeated beyond the edge (the U-Nets' upsampling).
    cubic: Keys 1981, "Cubic convolution interpolation for digital image processing", a = -0.5;
        nothing from outside the volume contributes (the published 2019 SpatialConfiguration-Net).
    One product with a banded matrix per axis: on a processor this is three times as fast as sums of
    shifted slices. (batch, z, y, x, c) -> (batch, factor·z, factor·y, factor·x, c).
    """

    def __init__(self, factor: int = 2, interpolation: Interpolation = "linear", **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor
        self.interpolation = interpolation

    def call(self, inputs: Tensor) -> Tensor:
        """Enlarge one axis after the other, the slowest first."""
        for axis in (1, 2, 3):
            inputs = self._enlarge(inputs, axis)
        return inputs

    def _enlarge(self, tensor: Tensor, axis: int) -> Tensor:
        shape = list(ops.shape(tensor))
        matrix = ops.cast(self._matrix(shape[axis]), tensor.dtype)
        rows = ops.reshape(tensor, [*shape[: axis + 1], -1]) if axis < 3 else tensor
        enlarged = ops.matmul(matrix, rows)
        shape[axis] = shape[axis] * self.factor
        enlarged = ops.reshape(enlarged, shape) if axis < 3 else enlarged
        return enlarged

    def _matrix(self, size: Any) -> Tensor:
        """Weight of each input (column) in each output (row); (factor·size, size), float32."""
        outputs = ops.cast(ops.arange(size * self.factor), "float32")
        inputs = ops.cast(ops.arange(size), "float32")
        source = (outputs + 0.5) / self.factor - 0.5
        if self.interpolation == "linear":
            source = ops.clip(source, 0.0, ops.cast(size - 1, "float32"))
        distance = ops.abs(source[:, None] - inputs[None, :])
        return _linear(distance) if self.interpolation == "linear" else _keys_cubic(distance)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The factor times the spatial sizes, unknown where unknown."""
        enlarged = (None if n is None else self.factor * n for n in shape[1:4])
        return (shape[0], *enlarged, shape[4])

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        own = {"factor": self.factor, "interpolation": self.interpolation}
        return {**super().get_config(), **own}


def _linear(distance: Tensor) -> Tensor:
    return ops.maximum(1.0 - distance, 0.0)


def _keys_cubic(distance: Tensor) -> Tensor:
    inner = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    outer = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    return ops.where(distance <= 1.0, inner, ops.where(distance < 2.0, outer, 0.0))


@keras.saving.register_keras_serializable("verse_train")
class InstanceNormalization(keras.layers.Layer):  # type: ignore[misc]
    """Each channel of each sample to mean 0 and variance 1 over z, y, x, then scaled and shifted.

    The same as keras.layers.GroupNormalization(groups=-1), much cheaper: with TensorFlow one fused
    operation; elsewhere the statistics are taken in float32, and the normalisation itself is one
    multiplication and one addition in the precision of the network.
    """

    def __init__(self, epsilon: float = 1e-4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        """One scale and one shift per channel."""
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros", name="beta")

    def call(self, inputs: Tensor) -> Tensor:
        """Normalise (batch, z, y, x, c)."""
        gamma, beta = (ops.cast(weight, "float32") for weight in (self.gamma, self.beta))
        if keras.backend.backend() == "tensorflow":
            return _normalised_by_tensorflow(inputs, gamma, beta, self.epsilon)
        values = ops.cast(inputs, "float32")
        mean = ops.mean(values, axis=(1, 2, 3), keepdims=True)
        square = ops.mean(ops.square(values), axis=(1, 2, 3), keepdims=True)
        scale = ops.rsqrt(ops.maximum(square - ops.square(mean), 0.0) + self.epsilon)
        factor = gamma * scale
        shift = beta - mean * factor
        return inputs * ops.cast(factor, inputs.dtype) + ops.cast(shift, inputs.dtype)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Unchanged."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "epsilon": self.epsilon}


def _normalised_by_tensorflow(
    inputs: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> Tensor:
    """TensorFlow's batch normalisation, shown each channel of each sample as a channel of one sample.

    On a processor this takes a quarter of the time of the single operations. The transpositions cost
    nothing for a batch of one. float32 gamma and beta; inputs of at most 32 bits.
    """
    import tensorflow as tf

    shape, channels = tf.shape(inputs), inputs.shape[-1]
    batch = shape[0]
    rows = tf.transpose(tf.reshape(inputs, [batch, -1, channels]), [1, 0, 2])
    normalised, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(rows, [1, -1, 1, batch * channels]),
        scale=tf.tile(gamma, [batch]),
        offset=tf.tile(beta, [batch]),
        mean=[],
        variance=[],
        epsilon=epsilon,
        is_training=True,
    )
    rows = tf.transpose(tf.reshape(normalised, [-1, batch, channels]), [1, 0, 2])
    return tf.reshape(rows, shape)


@keras.saving.register_keras_serializable("verse_train")
class NamedHeatmaps(keras.layers.Layer):  # type: ignore[misc]
    """Chance of any vertebra times the chance of each name, from their logits.

    [(batch, z, y, x, 1), (batch, z, y, x, n)] -> (batch, z, y, x, n), 0 to 1.
    """

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Multiply sigmoid and softmax; both in float32."""
        vertebra, names = (ops.cast(tensor, "float32") for tensor in inputs)
        return ops.cast(ops.sigmoid(vertebra) * ops.softmax(names), self.compute_dtype)

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """As the names."""
        return shapes[1]


@keras.saving.register_keras_serializable("verse_train")
class NamedLogits(keras.layers.Layer):  # type: ignore[misc]
    """Logits against the background whose softmax is what NamedHeatmaps gives; in float32.

    vertebra + names - log Σ exp names. [(batch, z, y, x, 1), (batch, z, y, x, n)] -> the second.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Logarithm of each name's share, plus the vertebra's logit."""
        vertebra, names = inputs
        return vertebra + ops.log_softmax(names)

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """As the names."""
        return shapes[1]
