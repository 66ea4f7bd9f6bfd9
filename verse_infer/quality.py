"""Does a result look like a patient? Flags for what a header cannot tell.

A scan stored upside down or sideways cannot be told by its header, nor one of which slices are missing.
Its result can: spines lie behind the middle of the body, vertebrae grow from head to foot, heatmaps are
high, neighbours are as far apart as their names and the others say, and anatomy goes on from slice to
slice.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import label_of, name_of, usual_distance_mm
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
#: A response that shows a vertebra, by itself and against the median of those named; and how far from all
#: of these it is another one's, mm. In 44 annotated scans only where a vertebra was passed over.
CLEAR_RESPONSE, CLEAR_SHARE = 0.3, 0.5
APART_MM = 12.0
#: How far apart neighbours may be, as a share of what is usual for their names in this spine. In 417 steps
#: of 44 annotated scans it is 0.77 to 1.27, and up to 1.35 below C1 and C2, whose centres are a matter of
#: taste; where a vertebra was passed over it is 1.5 to 2.
STEPS = (0.7, 1.36)
STEPS_OF_UPPER_NECK = (0.6, 1.55)
UPPER_NECK = frozenset({label_of("C1"), label_of("C2")})
#: How large a spine may be against an adult's mean (in the same scans 0.85 to 1.2).
SIZES = (0.72, 1.32)
#: Steps needed to know a spine's own size; with fewer it is taken for an adult's mean.
FEWEST_STEPS = 3
#: Around the spine, mm, is looked at what changes from slice to slice, sampled this far apart; and within
#: these HU, so that neither metal nor gas decides.
AROUND_MM, SAMPLE_MM = 70.0, 2.0
#: So far beyond the first and the last centroid, mm.
BEYOND_MM = 15.0
CHANGE_HU = (-300, 500)
#: Slices before and after with which a change is compared, and how many times theirs it may be: in whole
#: scans at most 1.27, where 8 mm are missing 1.3 to 3.5.
NEIGHBOURS, LARGEST_CHANGE = 4, 1.4


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


def left_out(candidates: Sequence[Centroid], centroids: Sequence[Centroid]) -> Iterator[Flag]:
    """Flags where a vertebra shows that is none of the result.

    candidates: maxima of the heatmaps where vertebrae may be, under any name. centroids: those named.
    """
    if not centroids:
        return
    least = max(CLEAR_RESPONSE, CLEAR_SHARE * float(np.median([c.response for c in centroids])))
    known = [c.point for c in centroids]
    for candidate in sorted(candidates, key=lambda c: -c.response):
        place = np.array(candidate.point)
        if candidate.response < least or np.linalg.norm(place - known, axis=1).min() <= APART_MM:
            continue
        known.append(candidate.point)
        near = min(centroids, key=lambda c: abs(c.point[2] - place[2]))
        way = "below" if place[2] < near.point[2] else "above"
        looks = f"a response of {candidate.response:.2f} to {name_of(candidate.label)}"
        found = (
            f"{looks}, {abs(place[2] - near.point[2]):.0f} mm {way} {name_of(near.label)}, left out"
        )
        yield Flag(FlagCode.VERTEBRA_LEFT_OUT, f"{_UNCERTAIN}{found}", candidate.response)


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


def uneven_steps(centroids: Sequence[Centroid]) -> Iterator[Flag]:
    """Flags where neighbours are nearer or farther than their names allow, in this spine or in any.

    centroids: head to foot.
    """
    ratios = []
    for upper, lower in pairwise(centroids):
        usual = usual_distance_mm(upper.label, lower.label)
        if usual is not None:
            length = float(np.linalg.norm(np.subtract(lower.point, upper.point)))
            ratios.append((upper.label, lower.label, length, length / usual))
    size = float(np.median([ratio for *_, ratio in ratios])) if len(ratios) >= FEWEST_STEPS else 1.0
    if not SIZES[0] <= size <= SIZES[1]:
        looks = f"vertebrae are {size:.2f} times as far apart as an adult's"
        message = f"{_UNCERTAIN}{looks}: a child, or a wrong spacing in the header?"
        yield Flag(FlagCode.SIZE_IMPLAUSIBLE, message, size)
    for above, below, length, ratio in ratios:
        low, high = STEPS_OF_UPPER_NECK if above in UPPER_NECK else STEPS
        if not low <= ratio / size <= high:
            usual = length / ratio * size
            cause = (
                "a vertebra passed over" if ratio > size else "slices missing, or one taken for two"
            )
            places = f"{name_of(above)} and {name_of(below)} are {length:.0f} mm apart, {usual:.0f} are usual"
            message = f"{_UNCERTAIN}{places} in this spine: {cause}?"
            yield Flag(FlagCode.STEP_IMPLAUSIBLE, message, ratio / size)


def missing_slices(ct: Ct, centroids: Sequence[Centroid]) -> Iterator[Flag]:
    """Flags where the body around the spine changes from one slice to the next as it does nowhere near.

    centroids: head to foot. The header of a series of which some slices were lost states an even
    spacing all the same.
    """
    if len(centroids) < 2:
        return
    slices, changes = _changes_along(ct, centroids)
    for number in range(NEIGHBOURS, len(changes) - NEIGHBOURS):
        around = np.r_[
            changes[number - NEIGHBOURS : number], changes[number + 1 : number + 1 + NEIGHBOURS]
        ]
        ratio = float(changes[number] / max(1.0, around.max()))
        if ratio > LARGEST_CHANGE:
            z = float(ct.lattice.point((0, 0, slices[number] + 0.5))[2])
            near = min(centroids, key=lambda c: abs(c.point[2] - z))
            looks = f"the body changes {ratio:.1f} times as much as around it"
            message = (
                f"from one slice to the next near {name_of(near.label)} (z {z:.0f} mm) {looks}"
            )
            yield Flag(FlagCode.SLICES_MISSING, f"{message}: slices missing, or moved?", ratio)


def _changes_along(
    ct: Ct, centroids: Sequence[Centroid]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Slices along the spine from end to end, and the mean change to the next, HU."""
    course = ct.lattice.index(np.array([c.point for c in centroids]))
    course = course[course[:, 2].argsort()]
    ends = course[[0, -1], 2] + np.array([-BEYOND_MM, BEYOND_MM]) / ct.lattice.spacing[2]
    first, last = np.clip(np.rint(ends).astype(int), 0, ct.hu.shape[0] - 1)
    slices = np.arange(first, last + 1)
    columns, rows = (np.interp(slices, course[:, 2], course[:, axis]) for axis in (0, 1))
    reach, step = (
        [max(1, round(mm / s)) for s in ct.lattice.spacing[:2]] for mm in (AROUND_MM, SAMPLE_MM)
    )
    changes = []
    for number, column, row in zip(
        slices[:-1], columns.astype(int), rows.astype(int), strict=False
    ):
        where = (
            slice(max(0, row - reach[1]), row + reach[1] + 1, step[1]),
            slice(max(0, column - reach[0]), column + reach[0] + 1, step[0]),
        )
        upper, lower = (
            np.clip(ct.hu[k][where], *CHANGE_HU).astype(np.float32) for k in (number, number + 1)
        )
        changes.append(float(np.abs(upper - lower).mean()) if upper.size else 0.0)
    return slices, np.asarray(changes, np.float64)
