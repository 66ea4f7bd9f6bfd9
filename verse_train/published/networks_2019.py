"""The networks of VerSe 2019 as published: three graphs, 64 filters.

Payer et al., VerSe 2019 report and "Coarse to fine vertebrae localization and segmentation with
SpatialConfiguration-Net and U-Net", VISAPP 2020. Where checkpoints and papers differ (four instead
of five levels, a convolution before the U-Net, 3×3×3 output convolutions) the checkpoints rule.
Tensors are batch, z, y, x, c; any z, y, x divisible by 16.
"""

import keras

from verse_infer.weights import Stage
from verse_train.networks.layers import Upsampling3D
from verse_train.published.u_net import Block, Tensor, convolution, rectified, u_net

FILTERS = 64
LANDMARKS = 25
#: Slope of the SpatialConfiguration-Net's leaky ReLU; the U-Nets have a plain one.
LEAKY = 0.1


def build_2019(stage: Stage, filters: int = FILTERS) -> keras.Model:
    """One stage's network, float32.

    spine_localisation: CT -> 1 heatmap. vertebra_localisation: CT -> 25 heatmaps, C1 to L6.
    vertebra_segmentation: CT and Gaussian at the centroid -> logit of this vertebra.
    """
    channels = 2 if stage == "vertebra_segmentation" else 1
    inputs = keras.Input((None, None, None, channels), name="image", dtype="float32")
    if stage == "vertebra_localisation":
        outputs = _spatial_configuration_net(inputs, filters)
    else:
        features = u_net(inputs, 5, _block("net/local", filters, 0.0))
        outputs = convolution(features, "net/local/output", 1, 3)
    return keras.Model(inputs, outputs, name=f"{stage}_2019")


def _block(root: str, filters: int, leaky: float) -> Block:
    def block(tensor: Tensor, side: str, level: int) -> Tensor:
        for number in range(2):
            path = f"{root}/{side}/level{level}/conv{number}"
            tensor = rectified(convolution(tensor, path, filters, 3), leaky)
        return tensor

    return block


def _spatial_configuration_net(inputs: Tensor, filters: int) -> Tensor:
    """Local heatmaps times what the configuration of all of them says of each landmark."""
    tensor = rectified(convolution(inputs, "net/conv0", filters, 3), LEAKY)
    features = u_net(tensor, 4, _block("net", filters, LEAKY))
    local = convolution(features, "net/local_heatmaps", LANDMARKS, 3)
    spatial = keras.layers.AveragePooling3D(4)(local)
    for number in range(3):
        spatial = rectified(convolution(spatial, f"net/sconv{number}", filters, 7), LEAKY)
    spatial = convolution(spatial, "net/spatial_downsampled", LANDMARKS, 7)
    spatial = keras.layers.Activation("tanh")(spatial)
    return keras.layers.Multiply()([local, Upsampling3D(4, "cubic")(spatial)])
