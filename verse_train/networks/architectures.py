"""The networks of the method in Keras 3: U-Net and SpatialConfiguration-Net.

Payer et al., "Coarse to fine vertebrae localization and segmentation with SpatialConfiguration-Net
and U-Net", VISAPP 2020; Payer et al., "Integrating spatial configuration into heatmap regression
based CNNs for landmark localization", Medical Image Analysis 2019. Tensors are batch, z, y, x, c.
All networks take any z, y, x divisible by 16.
"""

from dataclasses import dataclass
from typing import Any

import keras

from verse_infer.anatomy import VERTEBRAE
from verse_infer.weights import Stage
from verse_train.networks.layers import (
    InstanceNormalization,
    NamedHeatmaps,
    NamedLogits,
    Upsampling3D,
)
from verse_train.sizes import NetworkSize

Tensor = Any


#: Initial logit of any vertebra against the background, so that a new network of shares answers
#: "most likely background".
INITIAL_LOGIT = -3.0


def build_network(stage: Stage, size: NetworkSize) -> keras.Model:
    """The network of one stage, with float32 input and output.

    spine_localisation: CT -> 1 heatmap. vertebra_localisation: CT -> 26 heatmaps, in the order of
    VERTEBRAE, or their logits against the background where the size's heatmaps are shares.
    vertebra_segmentation: CT and Gaussian at the centroid -> logit of this vertebra.

    Layers with weights are named by their place, always the same: stored weights are found by names.
    """
    channels = 2 if stage == "vertebra_segmentation" else 1
    inputs = keras.Input((None, None, None, channels), name="image", dtype="float32")
    transposed = stage in size.transposed
    if stage == "vertebra_localisation":
        # Leaky ReLU 0.1 in both sizes, as in the SpatialConfiguration-Net's paper.
        blocks = _Blocks(0.1, size.normalised, transposed)
        outputs = _spatial_configuration_net(inputs, len(VERTEBRAE), size, blocks)
    else:
        blocks = _Blocks(size.leaky, size.normalised, transposed)
        outputs = _head(blocks.u_net(inputs, size.filters), 1, kernel=1)
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


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What networks are built of. leaky, normalised: as in NetworkSize. transposed: the decoder's way."""

    leaky: float
    normalised: bool
    transposed: bool

    def u_net(self, tensor: Tensor, filters: tuple[int, ...]) -> Tensor:
        """U-Net features: two convolutions before and two after each skip connection."""
        skips = []
        for level, width in enumerate(filters):
            if level:
                tensor = keras.layers.AveragePooling3D(2)(tensor)
            for number in range(2):
                tensor = self.convolution(tensor, width, 3, f"down{level}_{number}")
            skips.append(tensor)
        for level in reversed(range(len(filters) - 1)):
            tensor = self._joined(skips[level], tensor, filters[level], f"up{level}_0")
            tensor = self.convolution(tensor, filters[level], 3, f"up{level}_1")
        return tensor

    def convolution(self, tensor: Tensor, filters: int, kernel: int, name: str) -> Tensor:
        """A convolution, normalised and through its ReLU."""
        return self._activated(self._plain(tensor, filters, kernel, name), name)

    def _joined(self, skip: Tensor, coarse: Tensor, filters: int, name: str) -> Tensor:
        """Features of a level and the enlarged ones of the next coarser level, through a convolution."""
        if not self.transposed:
            joined = keras.layers.Concatenate()([skip, Upsampling3D()(coarse)])
            return self.convolution(joined, filters, 3, name)
        enlarged = keras.layers.Conv3DTranspose(
            filters,
            4,
            strides=2,
            padding="same",
            kernel_initializer="he_normal",
            use_bias=False,
            name=f"{name}_coarse",
        )(coarse)
        fine = self._plain(skip, filters, 3, name)
        return self._activated(keras.layers.Add()([fine, enlarged]), name)

    def _plain(self, tensor: Tensor, filters: int, kernel: int, name: str) -> Tensor:
        return keras.layers.Conv3D(
            filters,
            kernel,
            padding="same",
            kernel_initializer="he_normal",
            use_bias=not self.normalised,
            name=name,
        )(tensor)

    def _activated(self, tensor: Tensor, name: str) -> Tensor:
        if self.normalised:
            tensor = InstanceNormalization(name=f"{name}_norm")(tensor)
        relu = keras.layers.LeakyReLU(self.leaky) if self.leaky else keras.layers.ReLU()
        return relu(tensor)


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


def _spatial_configuration_net(
    inputs: Tensor, landmarks: int, size: NetworkSize, blocks: _Blocks
) -> Tensor:
    """Local heatmaps times what the configuration of all local heatmaps says of each landmark."""
    features = blocks.u_net(inputs, size.filters)
    local = _head(features, landmarks, kernel=3)
    if size.heatmaps == "product":
        # A positive initial bias of the product: were both factors near zero, neither would learn.
        spatial = _configuration(local, landmarks, size.spatial_filters, blocks, "tanh", 0.5)
        return keras.layers.Multiply()([local, spatial])
    # The same product in logarithms. Where a vertebra is and which it is are learned apart: the
    # first is plain to see and needs one channel, the second needs the whole configuration.
    vertebra = _head(features, 1, kernel=3, bias=INITIAL_LOGIT, name="vertebra")
    heatmaps = NamedHeatmaps()([vertebra, local])
    spatial = _configuration(heatmaps, landmarks, size.spatial_filters, blocks, None, 0.0)
    return NamedLogits()([vertebra, keras.layers.Add()([local, spatial])])


def _configuration(
    heatmaps: Tensor,
    landmarks: int,
    filters: int,
    blocks: _Blocks,
    activation: str | None,
    bias: float,
) -> Tensor:
    """Convolutions 7×7×7 at a quarter of the resolution, enlarged by cubic interpolation."""
    spatial = keras.layers.AveragePooling3D(4)(heatmaps)
    for number in range(3):
        spatial = blocks.convolution(spatial, filters, 7, f"configuration{number}")
    spatial = keras.layers.Conv3D(
        landmarks,
        7,
        padding="same",
        activation=activation,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.001),
        bias_initializer=keras.initializers.Constant(bias),
        name="configuration_head",
    )(spatial)
    return Upsampling3D(4, "cubic")(spatial)
