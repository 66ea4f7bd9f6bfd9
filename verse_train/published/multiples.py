"""Keras layers that make z, y and x divisible for a network's poolings, and undo it."""

from typing import Any

import keras
from keras import ops

Tensor = Any
Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable("verse_train")
class PadToMultiple(keras.layers.Layer):  # type: ignore[misc]
    """Zeros at the far ends of z, y and x up to the next multiple; (batch, z, y, x, c)."""

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, inputs: Tensor) -> Tensor:
        """Pad one axis after the other."""
        for axis in (1, 2, 3):
            shape = list(ops.shape(inputs))
            shape[axis] = -shape[axis] % self.multiple
            inputs = ops.concatenate([inputs, ops.zeros(shape, inputs.dtype)], axis)
        return inputs

    def compute_output_shape(self, shape: Shape) -> Shape:
        """The next multiples, unknown where unknown."""
        padded = (None if n is None else n + -n % self.multiple for n in shape[1:4])
        return (shape[0], *padded, shape[4])

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable("verse_train")
class CropLike(keras.layers.Layer):  # type: ignore[misc]
    """The first of two tensors, cut at the far ends of z, y and x to the size of the second."""

    def call(self, inputs: list[Tensor]) -> Tensor:
        """Crop (batch, z, y, x, c)."""
        tensor, like = inputs
        _, z, y, x, _ = ops.shape(like)
        return tensor[:, :z, :y, :x, :]

    def compute_output_shape(self, shapes: list[Shape]) -> Shape:
        """Sizes of the second, channels of the first."""
        return (*shapes[1][:4], shapes[0][4])
