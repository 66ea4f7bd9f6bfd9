"""The network of vertebra identification in Keras 3, and its loss.

Labels from two projections of the spine are the idea of Btrfly (Sekuboyina et al., MICCAI 2018); here
the projections are straightened first. Convolutions look at the picture, a maximum over its columns
leaves one feature vector per row, dilated convolutions along the rows count.
"""

from typing import Any

import keras
from keras import ops

from verse_infer.anatomy import LABELS, REGIONS_OF_LABELS
from verse_infer.straightening import CHANNELS
from verse_train.identification.samples import (
    BODY,
    BODY_WEIGHT,
    DX,
    DY,
    NAME,
    SACRUM,
    WHOLE,
)

Tensor = Any
#: Filters of the convolutions over the picture, and how far each then shrinks rows and columns.
PLANES = ((24, (1, 2)), (24, (2, 2)), (48, (1, 2)), (48, (1, 2)), (72, (1, 1)))
ROW_FILTERS, DILATIONS = 96, (1, 2, 4, 8, 16, 32)
GROUPS = 8
DROPOUT = 0.2
#: Channels of the output: 26 names, 3 regions, then one each of the others.
NAMES = len(LABELS)
OUTPUTS = NAMES + 3 + 5
REGION_AT, BODY_AT, DX_AT, DY_AT, WHOLE_AT, SACRUM_AT = (
    NAMES,
    NAMES + 3,
    NAMES + 4,
    NAMES + 5,
    NAMES + 6,
    NAMES + 7,
)
LABEL_SMOOTHING = 0.05


def build_identification_network(
    planes: Any = PLANES, row_filters: int = ROW_FILTERS
) -> keras.Model:
    """Picture (n, rows, columns, CHANNELS) -> (n, rows / 2, OUTPUTS), logits and offsets."""
    image = keras.Input((None, None, CHANNELS), name="image", dtype="float32")
    tensor = image
    for filters, shrink in planes:
        tensor = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(tensor)
        tensor = keras.layers.GroupNormalization(GROUPS, epsilon=1e-4)(tensor)
        tensor = keras.layers.LeakyReLU(0.1)(tensor)
        if shrink != (1, 1):
            tensor = keras.layers.MaxPooling2D(shrink)(tensor)
    rows = LargestOfColumns(name="columns")(tensor)
    rows = keras.layers.Dense(row_filters)(rows)
    for dilation in DILATIONS:
        change = keras.layers.LeakyReLU(0.1)(keras.layers.LayerNormalization(epsilon=1e-4)(rows))
        change = keras.layers.Conv1D(row_filters, 3, padding="same", dilation_rate=dilation)(change)
        change = keras.layers.Dropout(DROPOUT)(change)
        rows = keras.layers.Add()([rows, change])
    rows = keras.layers.LeakyReLU(0.1)(keras.layers.LayerNormalization(epsilon=1e-4)(rows))
    output = keras.layers.Dense(OUTPUTS, name="output", dtype="float32")(rows)
    return keras.Model(image, output, name="vertebra_identification")


@keras.saving.register_keras_serializable("verse_train")
class LargestOfColumns(keras.layers.Layer):  # type: ignore[misc]
    """The maximum over the columns of a picture; (n, rows, columns, c) -> (n, rows, c)."""

    def call(self, inputs: Tensor) -> Tensor:
        """Maximum."""
        return ops.max(inputs, axis=2)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Without the columns."""
        return (*shape[:2], shape[3])


@keras.saving.register_keras_serializable("verse_train")
class Channels(keras.layers.Layer):  # type: ignore[misc]
    """Some neighbouring channels of a tensor; (..., c) -> (..., last - first)."""

    def __init__(self, first: int, last: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = first
        self.last = last

    def call(self, inputs: Tensor) -> Tensor:
        """Channels `first` up to, not including, `last`."""
        return inputs[..., self.first : self.last]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """As many channels as are kept."""
        return (*shape[:-1], self.last - self.first)

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        return {**super().get_config(), "first": self.first, "last": self.last}


def answering_heads(network: keras.Model) -> keras.Model:
    """The network with its output as what inference reads: see verse_infer.identification.PictureReader."""
    places = {
        "names": (0, NAMES),
        "region": (REGION_AT, BODY_AT),
        "body": (BODY_AT, BODY_AT + 1),
        "offset": (DX_AT, DY_AT + 1),
        "whole": (WHOLE_AT, WHOLE_AT + 1),
        "sacrum": (SACRUM_AT, SACRUM_AT + 1),
    }
    heads = {
        name: Channels(*place, name=f"{name}_head")(network.output)
        for name, place in places.items()
    }
    return keras.Model(network.input, heads)


@keras.saving.register_keras_serializable("verse_train")  # type: ignore[untyped-decorator]
def identification_loss(target: Tensor, output: Tensor) -> Tensor:
    """Cross-entropy of names, regions, bodies, whole, sacrum, and the offsets' absolute error; (n,)."""
    names, named = target[..., NAME], ops.cast(target[..., NAME] >= 0, "float32")
    index = ops.cast(ops.maximum(names, 0), "int32")
    # Rows count, not samples: a view of two vertebrae says less than one of twelve.
    rows = ops.sum(named, axis=-1) + 8.0
    right = ops.one_hot(index, NAMES) * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / NAMES
    name = -ops.sum(right * ops.log_softmax(output[..., :NAMES]), axis=-1)
    region_right = ops.take(
        ops.convert_to_tensor(REGIONS_OF_LABELS, dtype="float32"), index, axis=0
    )
    region = -ops.sum(region_right * ops.log_softmax(output[..., REGION_AT:BODY_AT]), axis=-1)
    off = ops.abs(output[..., DX_AT] - target[..., DX]) + ops.abs(
        output[..., DY_AT] - target[..., DY]
    )
    total = ops.sum(named * (name + 0.5 * region + 0.5 * off), axis=-1) / rows
    body = _entropy(target[..., BODY], output[..., BODY_AT]) * target[..., BODY_WEIGHT]
    total = total + 3.0 * ops.mean(body, axis=-1)
    for column, place, weight in ((WHOLE, WHOLE_AT, 0.3), (SACRUM, SACRUM_AT, 0.5)):
        known = ops.cast(target[..., column] >= 0, "float32")
        error = _entropy(target[..., column], output[..., place]) * known
        total = total + weight * ops.sum(error, axis=-1) / (ops.sum(known, axis=-1) + 8.0)
    return total


def _entropy(target: Tensor, logit: Tensor) -> Tensor:
    return ops.relu(logit) - logit * target + ops.log1p(ops.exp(-ops.abs(logit)))
