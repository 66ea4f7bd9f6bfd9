"""What the published networks of both years share: convolutions named after checkpoint, U-Net.

Each convolution layer carries its path in the checkpoint as its name, dots for slashes (Keras
allows no slash), so that a network is its own table of variables.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from verse_train.networks.layers import Upsampling3D

Tensor = Any
#: Convolutions of one block: tensor, "contracting" or "expanding", level (0 is the finest).
Block = Callable[[Tensor, str, int], Tensor]
Shape = tuple[int, ...]


def convolution(tensor: Tensor, path: str, filters: int, kernel: int) -> Tensor:
    """Convolution with bias, zero padding; path: where the checkpoint keeps it."""
    layer = keras.layers.Conv3D(filters, kernel, padding="same", name=path.replace("/", "."))
    return layer(tensor)


def rectified(tensor: Tensor, leaky: float) -> Tensor:
    """ReLU with this slope below zero."""
    return keras.layers.LeakyReLU(leaky)(tensor) if leaky else keras.layers.ReLU()(tensor)


def u_net(tensor: Tensor, levels: int, block: Block) -> Tensor:
    """U-Net features; average pooling, linear upsampling, an expanding block at every level.

    (batch, z, y, x, c) -> (batch, z, y, x, filters); z, y, x divisible by 2 ** (levels - 1). Unlike
    in the papers' figures, the lowest level, too, has an expanding block after its contracting one.
    """
    skips = []
    for level in range(levels):
        if level:
            tensor = keras.layers.AveragePooling3D(2)(tensor)
        tensor = block(tensor, "contracting", level)
        skips.append(tensor)
    tensor = block(tensor, "expanding", levels - 1)
    for level in reversed(range(levels - 1)):
        tensor = keras.layers.Concatenate()([skips[level], Upsampling3D()(tensor)])
        tensor = block(tensor, "expanding", level)
    return tensor


def convolutions(network: keras.Model) -> Mapping[str, keras.layers.Conv3D]:
    """All convolution layers of a network by their path in the checkpoint."""
    return {
        layer.name.replace(".", "/"): layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv3D)
    }
