"""Does a result look like a patient? Flags for scans whose header states a wrong orientation.

A scan stored upside down or sideways cannot be told by its header. Its result can: spines lie
behind the middle of the body, vertebrae grow from head to foot, and heatmaps are high.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import Centroid, Ct
from verse_infer.flags import Flag, FlagCode

_TURNED = "orientation in the header may be wrong: "
_UNCERTAIN = "names and places are uncertain: "
#: Above it is body, or table; fat begins at about -120 HU, lung ends at about -500 HU.
BODY_HU = -300
#: Voxels are looked at this far apart; enough for a mean.
STEP_MM = 4.0
#: The spine lies 50-90 mm behind the middle of an adult's trunk; in a neck, or in a narrow
#: reconstruction, about in it.
LARGEST_ANTERIOR_MM = 30.0
LARGEST_LATERAL_MM = 60.0
LEAST_POSTERIOR_MM = 20.0
#: Names are counted along a column, and beside a spine one or two vertebrae may be seen with sure responses.
FEWEST_CERTAIN = 3
#: Vertebrae needed to speak of growth, and how much smaller the lower half may be than the upper:
#: real ones grow about sevenfold from C3 to L5.
FEWEST_VERTEBRAE = 6
LEAST_GROWTH = 0.7


def uncertain(centroids: Sequence[Centroid], usual_response: float = 0.0) -> Iterator[Flag]:
    """Flags about located vertebrae (not about given ones, which have no response).

    usual_response: median height of the heatmaps at the vertebrae below which their weights do not
    fall in scans they can read; 0 where it is not known.
    """
    if 0 < len(centroids) < FEWEST_CERTAIN:
        found = "one vertebra" if len(centroids) == 1 else f"{len(centroids)} vertebrae"
        yield Flag(FlagCode.FEW_VERTEBRAE, f"{_UNCERTAIN}only {found} found", len(centroids))
    elif centroids:
        median = float(np.median([c.response for c in centroids]))
        if median < usual_response:
            found = f"median response {median:.2f}, usual are {usual_response:g} and more"
            yield Flag(FlagCode.LOW_RESPONSE, f"{_UNCERTAIN}{found}", median)


def implausible(ct: Ct, centroids: Sequence[Centroid], voxels: NDArray[np.intp]) -> Iterator[Flag]:
    """Flags about a result; none for one that looks right.

    centroids: head to foot. voxels: of each label in the mask, see voxel_counts.
    """
    if len(centroids) < 2:
        return
    lateral, posterior = _spine_from_middle(ct, centroids)
    if posterior < -LARGEST_ANTERIOR_MM:
        message = f"{_TURNED}spine {-posterior:.0f} mm in front of the body's middle"
        yield Flag(FlagCode.SPINE_IN_FRONT, message, -posterior)
    elif abs(lateral) > LARGEST_LATERAL_MM and posterior < LEAST_POSTERIOR_MM:
        message = f"{_TURNED}spine {abs(lateral):.0f} mm beside the body's middle"
        yield Flag(FlagCode.SPINE_BESIDE, message, abs(lateral))
    growth = _growth(centroids, voxels)
    if growth < LEAST_GROWTH:
        message = f"{_TURNED}vertebrae shrink from head to foot, to {growth:.0%}"
        yield Flag(FlagCode.VERTEBRAE_SHRINK, message, growth)


def _spine_from_middle(ct: Ct, centroids: Sequence[Centroid]) -> tuple[float, float]:
    """How far left of, and behind, the middle of the body the spine lies, mm; 0 without a body."""
    points = np.array([c.point for c in centroids])
    slices = ct.lattice.index(points)[:, 2]
    low, high = max(0, int(slices.min())), int(slices.max()) + 1
    step = [max(1, round(STEP_MM / s)) for s in ct.lattice.spacing]
    body = ct.hu[low : high + 1 : step[2], :: step[1], :: step[0]] > BODY_HU
    if not body.any():
        return 0.0, 0.0
    k, j, i = (float(axis.mean()) for axis in np.nonzero(body))
    middle = ct.lattice.point((i * step[0], j * step[1], low + k * step[2]))
    lateral, posterior, _ = points.mean(axis=0) - middle
    return float(lateral), float(posterior)


def _growth(centroids: Sequence[Centroid], voxels: NDArray[np.intp]) -> float:
    """Median volume of the lower half of the vertebrae over that of the upper half.

    1 where too few are segmented. The first and the last may be cut off and do not count.
    """
    volumes = voxels[[c.label for c in centroids]][1:-1]
    volumes = volumes[volumes > 0]
    if len(volumes) < FEWEST_VERTEBRAE:
        return 1.0
    half = len(volumes) // 2
    return float(np.median(volumes[-half:]) / np.median(volumes[:half]))
