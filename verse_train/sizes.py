"""How wide and deep the networks of a method are; nothing here needs Keras."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from verse_infer.weights import Stage


class Size(StrEnum):
    """Sizes that can be trained, by the names that commands and manifests have for them.

    PAPER has the sizes of the papers. COMPACT trains and runs on a processor: few filters where the
    voxels are many, more where they are few; normalised, because short trainings swing without;
    heatmaps as shares, because cross-entropy finds 26 sparse heatmaps in thousands of steps where
    squared differences still answer zero everywhere (the papers train for 100,000). Where a network
    takes most of the time, its decoder has a transposed convolution 4×4×4 by 2, with 8 products per
    channel and voxel; a convolution of enlarged features has 27, and they must be enlarged and joined.
    """

    PAPER = "paper"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """How wide and deep the networks are.

    name: that of Size, but for networks of tests.
    filters: of each U-Net level, finest first.
    spatial_filters: of the 7×7×7 convolutions of the spatial configuration part.
    leaky: slope of the leaky ReLU; 0 is a plain ReLU.
    normalised: instance normalisation after each 3×3×3 convolution.
    heatmaps: what the SpatialConfiguration-Net makes of its two factors. As published their product;
        or, with the factors as logarithms, the chance of any vertebra times a softmax over their names.
    transposed: stages whose U-Net decoder enlarges by a transposed convolution and adds a convolution
        of the skip connection. That of other stages enlarges linearly and has one convolution over
        both, as published.
    """

    name: str
    filters: tuple[int, ...]
    spatial_filters: int
    leaky: float
    normalised: bool
    heatmaps: Literal["product", "shares"]
    transposed: tuple[Stage, ...] = ()


SIZES: dict[Size, NetworkSize] = {
    Size.PAPER: NetworkSize(
        name=Size.PAPER,
        filters=(64,) * 5,
        spatial_filters=64,
        leaky=0.0,
        normalised=False,
        heatmaps="product",
    ),
    Size.COMPACT: NetworkSize(
        name=Size.COMPACT,
        filters=(16, 32, 64, 64, 64),
        spatial_filters=32,
        leaky=0.1,
        normalised=True,
        heatmaps="shares",
        transposed=("vertebra_localisation", "vertebra_segmentation"),
    ),
}
