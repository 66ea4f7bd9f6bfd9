"""The networks of the method in Keras 3: U-Net and SpatialConfiguration-Net.

Payer et al., "Coarse to fine vertebrae localization and segmentation with SpatialConfiguration-Net
and U-Net", VISAPP 2020; Payer et al., "Integrating spatial configuration into heatmap regression
based CNNs for landmark localization", Medical Image Analysis 2019. Tensors are batch, z, y, x, c.
All networks take any z, y, x divisible by 16.
"""

from dataclasses import dataclass
from typing import Any, Literal

import keras

from verse_infer.anatomy import VERTEBRAE
from verse_infer.weights import Stage
from verse_train.networks.layers import (
    InstanceNormalization,
    NamedHeatmaps,
    NamedLogits,
    Upsampling3D,
)

Tensor = Any


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """How wide and deep the networks are.

    filters: of each U-Net level, finest first.
    spatial_filters: of the 7×7×7 convolutions of the spatial configuration part.
    leaky: slope of the leaky ReLU; 0 is a plain ReLU.
    normalised: instance normalisation after each 3×3×3 convolution.
    upsampling: how the U-Net's decoder enlarges: linear, then one convolution over skip connection
        and enlarged features, as published; or transposed, a convolution of each and their sum.
    logarithmic: the SpatialConfiguration-Net's factors are added as logarithms instead of
        multiplied, and heatmaps are the chance of any vertebra times a softmax over their names.
    """

    filters: tuple[int, ...]
    spatial_filters: int
    leaky: float
    normalised: bool
    logarithmic: bool
    upsampling: Literal["linear", "transposed"] = "linear"


#: `paper` has the sizes of the papers. `compact` trains and runs on a processor: few filters where
#: the voxels are many, more where they are few; normalised, because short trainings swing without;
#: logarithmic, because cross-entropy finds 26 sparse heatmaps in thousands of steps where squared
#: differences still answer zero everywhere (the papers train for 100,000). `light` is `compact` with a
#: cheaper decoder: a transposed convolution 4×4×4 by 2 has 8 products per channel and voxel where a
#: convolution of the enlarged features has 27, and nothing is enlarged or joined at full resolution.
SIZES: dict[str, NetworkSize] = {
    "paper": NetworkSize((64,) * 5, 64, 0.0, normalised=False, logarithmic=False),
    "compact": NetworkSize((16, 32, 64, 64, 64), 32, 0.1, normalised=True, logarithmic=True),
    "light": NetworkSize(
        (16, 32, 64, 64, 64), 32, 0.1, normalised=True, logarithmic=True, upsampling="transposed"
    ),
}
#: Initial logit of any vertebra against the background, so that a new logarithmic network answers
#: "most likely background".
INITIAL_LOGIT = -3.0


def build_network(stage: Stage, size: NetworkSize) -> keras.Model:
    """The network of one stage, with float32 input and output.

    spine_localisation: CT -> 1 heatmap. vertebra_localisation: CT -> 26 heatmaps, in the order of
    VERTEBRAE, or their logits against the background where the size is logarithmic.
    vertebra_segmentation: CT and Gaussian at the centroid -> logit of this vertebra.
    """
    channels = 2 if stage == "vertebra_segmentation" else 1
    inputs = keras.Input((None, None, None, channels), name="image", dtype="float32")
    if stage == "vertebra_localisation":
        # Leaky ReLU 0.1 in both sizes, as in the SpatialConfiguration-Net's paper.
        outputs = _spatial_configuration_net(inputs, len(VERTEBRAE), size)
    else:
        outputs = _head(_u_net(inputs, size, size.leaky), 1, kernel=1)
    outputs = keras.layers.Activation("linear", dtype="float32", name="output")(outputs)
    return keras.Model(inputs, outputs, name=stage)


def penalise_kernels(network: keras.Model, factor: float) -> None:
    """Let the loss of a training grow by factor · Σw² over all convolution kernels, biases left out.

    What a network answers stays the same; a factor of 0 takes an earlier penalty away.
    """
    penalty = keras.regularizers.L2(factor) if factor else None
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv3D | keras.layers.Conv3DTranspose):
            layer.kernel_regularizer = penalty  # what a checkpoint keeps
            layer.kernel.regularizer = penalty  # what is added to the loss


def _u_net(tensor: Tensor, size: NetworkSize, leaky: float) -> Tensor:
    """U-Net features: two convolutions before and two after each skip connection."""
    skips = []
    for level, filters in enumerate(size.filters):
        if level:
            tensor = keras.layers.AveragePooling3D(2)(tensor)
        tensor = _double_convolution(tensor, filters, size, leaky)
        skips.append(tensor)
    for filters, skip in zip(size.filters[-2::-1], skips[-2::-1], strict=True):
        tensor = _joined(skip, tensor, filters, size, leaky)
        tensor = _convolution(tensor, filters, 3, size, leaky)
    return tensor


def _joined(skip: Tensor, coarse: Tensor, filters: int, size: NetworkSize, leaky: float) -> Tensor:
    """Features of a level and the enlarged ones of the next coarser level, through a convolution."""
    if size.upsampling == "linear":
        joined = keras.layers.Concatenate()([skip, Upsampling3D()(coarse)])
        return _convolution(joined, filters, 3, size, leaky)
    enlarged = keras.layers.Conv3DTranspose(
        filters,
        4,
        strides=2,
        padding="same",
        kernel_initializer="he_normal",
        use_bias=False,
    )(coarse)
    fine = _plain_convolution(skip, filters, 3, size)
    return _normalised(keras.layers.Add()([fine, enlarged]), size, leaky)


def _double_convolution(tensor: Tensor, filters: int, size: NetworkSize, leaky: float) -> Tensor:
    for _ in range(2):
        tensor = _convolution(tensor, filters, 3, size, leaky)
    return tensor


def _convolution(
    tensor: Tensor, filters: int, kernel: int, size: NetworkSize, leaky: float
) -> Tensor:
    return _normalised(_plain_convolution(tensor, filters, kernel, size), size, leaky)


def _plain_convolution(tensor: Tensor, filters: int, kernel: int, size: NetworkSize) -> Tensor:
    return keras.layers.Conv3D(
        filters,
        kernel,
        padding="same",
        kernel_initializer="he_normal",
        use_bias=not size.normalised,
    )(tensor)


def _normalised(tensor: Tensor, size: NetworkSize, leaky: float) -> Tensor:
    if size.normalised:
        tensor = InstanceNormalization()(tensor)
    return _activation(leaky)(tensor)


def _activation(leaky: float) -> keras.layers.Layer:
    return keras.layers.LeakyReLU(leaky) if leaky else keras.layers.ReLU()


def _head(
    tensor: Tensor, channels: int, kernel: int, bias: float = 0.0, name: str = "head"
) -> Tensor:
    """Output convolution with small initial values, so that first predictions are near the bias."""
    return keras.layers.Conv3D(
        channels,
        kernel,
        padding="same",
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(bias),
        name=name,
    )(tensor)


def _spatial_configuration_net(inputs: Tensor, landmarks: int, size: NetworkSize) -> Tensor:
    """Local heatmaps times what the configuration of all local heatmaps says of each landmark."""
    features = _u_net(inputs, size, leaky=0.1)
    local = _head(features, landmarks, kernel=3)
    if not size.logarithmic:
        # A positive initial bias of the product: were both factors near zero, neither would learn.
        spatial = _spatial_configuration(local, landmarks, size, "tanh", 0.5)
        return keras.layers.Multiply()([local, spatial])
    # The same product in logarithms. Where a vertebra is and which it is are learned apart: the
    # first is plain to see and needs one channel, the second needs the whole configuration.
    vertebra = _head(features, 1, kernel=3, bias=INITIAL_LOGIT, name="vertebra")
    spatial = _spatial_configuration(NamedHeatmaps()([vertebra, local]), landmarks, size, None, 0.0)
    return NamedLogits()([vertebra, keras.layers.Add()([local, spatial])])


def _spatial_configuration(
    heatmaps: Tensor, landmarks: int, size: NetworkSize, activation: str | None, bias: float
) -> Tensor:
    """Convolutions 7×7×7 at a quarter of the resolution, enlarged by cubic interpolation."""
    spatial = keras.layers.AveragePooling3D(4)(heatmaps)
    for _ in range(3):
        spatial = _convolution(spatial, size.spatial_filters, 7, size, leaky=0.1)
    spatial = keras.layers.Conv3D(
        landmarks,
        7,
        padding="same",
        activation=activation,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.001),
        bias_initializer=keras.initializers.Constant(bias),
    )(spatial)
    return Upsampling3D(4, "cubic")(spatial)
