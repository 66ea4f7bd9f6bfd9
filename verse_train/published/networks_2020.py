"""The networks of VerSe 2020 as published: 96 filters, 1×1×1 output convolutions.

Payer's VerSe'20 entry in Sekuboyina et al., Medical Image Analysis 2021: the setup of 2019, with
16-bit intermediate results in training. The checkpoints state layers, kernel sizes and numbers of
filters; the spatial part is a second U-Net with one convolution per block. Neither checkpoints nor
papers state activations, the coarser resolution of the spatial part and its interpolation:
ASSUMED says what was taken for them. Tensors are batch, z, y, x, c; any z, y, x divisible by 16.
"""

from collections.abc import Mapping
from types import MappingProxyType

import keras

from verse_infer.weights import Stage
from verse_train.networks.layers import Upsampling3D
from verse_train.published.multiples import CropLike, PadToMultiple
from verse_train.published.u_net import Block, Tensor, convolution, rectified, u_net

FILTERS = 96
LANDMARKS = 26
LEAKY = 0.1
SPATIAL_FACTOR = 4
SPATIAL_LEVELS = 4
#: What neither variables nor papers of 2020 state, and was carried over from 2019. It goes into the
#: manifest's facts, for whoever compares results.
ASSUMED: Mapping[str, str] = MappingProxyType(
    {
        "activations": "ReLU in the U-Nets, leaky ReLU 0.1 in both parts of the "
        "SpatialConfiguration-Net, linear local heatmaps, as in 2019",
        "spatial part": "at a quarter of the resolution by average pooling, brought back by cubic "
        "upsampling, as in 2019; then tanh, where the checkpoint has a layer without variables",
        "smoothing and distance of maxima": "as in 2019",
    }
)


def build_2020(stage: Stage, filters: int = FILTERS) -> keras.Model:
    """One stage's network, float32.

    spine_localisation: CT -> 1 heatmap. vertebra_localisation: CT -> 26 heatmaps, C1 to L6 and T13.
    vertebra_segmentation: CT and Gaussian at the centroid -> logit of this vertebra.
    """
    channels = 2 if stage == "vertebra_segmentation" else 1
    inputs = keras.Input((None, None, None, channels), name="image", dtype="float32")
    if stage == "vertebra_localisation":
        outputs = _spatial_configuration_net(inputs, filters)
    else:
        features = u_net(inputs, 5, _block("model/unet", filters, 2, 0.0))
        outputs = convolution(features, "model/prediction/layers/0", 1, 1)
    return keras.Model(inputs, outputs, name=f"{stage}_2020")


def _block(root: str, filters: int, repeats: int, leaky: float) -> Block:
    def block(tensor: Tensor, side: str, level: int) -> Tensor:
        for number in range(repeats):  # every second layer of a block has no variables
            path = f"{root}/{side}_layers/level{level}/layers/{2 * number}"
            tensor = rectified(convolution(tensor, path, filters, 3), leaky)
        return tensor

    return block


def _spatial_configuration_net(inputs: Tensor, filters: int) -> Tensor:
    """Local heatmaps times what the configuration of all of them says of each landmark."""
    features = u_net(inputs, 4, _block("model/scnet_local", filters, 2, LEAKY))
    local = convolution(features, "model/local_heatmaps/layers/0", LANDMARKS, 1)
    coarse = keras.layers.AveragePooling3D(SPATIAL_FACTOR)(local)
    # The published tiles need no padding; it lets the second U-Net's three poolings halve any size.
    padded = PadToMultiple(2 ** (SPATIAL_LEVELS - 1))(coarse)
    block = _block("model/scnet_spatial", filters, 1, LEAKY)
    spatial = u_net(padded, SPATIAL_LEVELS, block)
    spatial = CropLike()([spatial, coarse])
    spatial = convolution(spatial, "model/spatial_heatmaps", LANDMARKS, 1)
    spatial = Upsampling3D(SPATIAL_FACTOR, "cubic")(spatial)
    return keras.layers.Multiply()([local, keras.layers.Activation("tanh")(spatial)])
