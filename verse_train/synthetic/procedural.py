"""An invented body around an invented spine: everything from formulas and a seed, nothing from files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.boxes import box_between
from verse_train.synthetic.donor import Donor, DonorVertebra, add_donor_pelvis
from verse_train.synthetic.spine_curve import Posed, Vector, pose_spine
from verse_train.synthetic.torso import add_pelvis, add_ribs, add_skull, soft_tissue
from verse_train.synthetic.vertebra_shape import (
    VertebraShape,
    deformed_shape,
    extent_mm,
    inside_vertebra,
    shape_of,
)

#: Corners of a box in a vertebra's frame, mm, and which points of the frame are bone.
Solid = tuple[Vector, Vector, Callable[[Vector], NDArray[np.bool_]]]
#: Width and depth of a body's middle beside those of its endplates.
_WAIST = 0.9
#: A vertebra is whole if at most this share of it lies outside the lattice: rounding, not a cut.
_CUT_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Bones:
    """What the vertebrae and the pelvis look like.

    deformed: share of the vertebrae with a fracture or osteophytes. donor: whose shapes the other
    vertebrae and the pelvis have; without one they are invented.
    """

    deformed: float = 0.0
    donor: Donor | None = None


SOUND = Bones()


def invent_anatomy(
    lattice: Lattice,
    rng: np.random.Generator,
    *,
    names: Sequence[str],
    middle: Sequence[float] = (0.0, 0.0, 0.0),
    variation: float = 1.0,
    bones: Bones = SOUND,
) -> AnatomyMap:
    """A body on an axis-aligned lattice, its whole spine posed around `middle` (LPS mm).

    names: the vertebrae of the column, head to foot. The lattice is the field of view: it may cut the
    spine anywhere. variation: 0 is the mean anatomy, 1 the full range.
    """
    spine = [
        replace(vertebra, centre=vertebra.centre + np.asarray(middle, np.float64))
        for vertebra in pose_spine(names, rng, variation)
    ]
    tissue = soft_tissue(lattice, spine, rng)
    vertebrae = np.zeros(lattice.shape, np.uint8)
    _add_discs(tissue, lattice, spine)
    _add_canal(tissue, lattice, spine)
    donor = bones.donor
    shares = {}
    for vertebra in spine:
        shape = shape_of(vertebra.label, vertebra.distance, rng, variation)
        deformed = bool(bones.deformed) and rng.random() < bones.deformed
        solid = _solid(deformed_shape(shape, rng) if deformed else shape)
        model = None if donor is None or deformed else donor.model_of(vertebra.label)
        if model is not None:
            solid = _solid_from(model, _scale_of(model, vertebra, shape, rng))
        shares[vertebra.label] = _add_vertebra(tissue, vertebrae, lattice, vertebra, solid)
    add_ribs(tissue, lattice, spine)
    if donor is None:
        add_pelvis(tissue, lattice, spine, rng)
    else:
        add_donor_pelvis(tissue, lattice, spine[-1], donor, rng)
    add_skull(tissue, lattice, spine)
    whole, cut = _annotated(vertebrae, lattice, spine, shares)
    return AnatomyMap(tissue, vertebrae, whole, cut, lattice)


def _solid(shape: VertebraShape) -> Solid:
    return (*extent_mm(shape), lambda local: inside_vertebra(shape, local))


def _solid_from(model: DonorVertebra, scale: Vector) -> Solid:
    return model.low * scale, model.high * scale, lambda local: model.inside(local / scale)


def _scale_of(
    model: DonorVertebra, vertebra: Posed, shape: VertebraShape, rng: np.random.Generator
) -> Vector:
    """Size of a vertebra beside its model: its body as wide and deep as the shape says.

    Bodies fill more of their distance in most patients than in the donor, by up to a fifth.
    """
    ratio = vertebra.distance / model.frame.distance
    across = _WAIST * shape.width / model.width if model.width else ratio
    along = _WAIST * shape.depth / model.depth if model.depth else ratio
    return np.array([across, along, ratio * rng.uniform(1.0, 1.2)])


def _add_vertebra(
    tissue: NDArray[np.uint8],
    vertebrae: NDArray[np.uint8],
    lattice: Lattice,
    vertebra: Posed,
    solid: Solid,
) -> float:
    """Draw one vertebra where no other is; returns the share of its volume inside the lattice."""
    low, high, inside = solid
    corners = np.array(
        [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
    )
    index = lattice.index(vertebra.points(corners))
    first, last = np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int)
    inside_lattice = [
        slice(max(a, 0), min(b + 1, n)) for a, b, n in zip(first, last, lattice.size, strict=True)
    ]
    grid = np.stack(
        np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(first, last, strict=True)), indexing="ij")
    )
    points = lattice.point(np.moveaxis(grid, 0, -1))
    bone = _largest(inside(vertebra.local(points)))
    part = tuple(
        slice(s.start - a, max(s.stop - a, s.start - a))
        for s, a in zip(inside_lattice, first, strict=True)
    )
    kept = bone[part].transpose(2, 1, 0)
    if not kept.size:
        return 0.0
    box = inside_lattice[2], inside_lattice[1], inside_lattice[0]
    free = kept & (vertebrae[box] == 0)
    vertebrae[box][free] = vertebra.label
    tissue[box][free] = Tissue.VERTEBRA
    return float(kept.sum() / max(bone.sum(), 1))


def _largest(bone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected piece; coarse lattices can tear off the tip of a process."""
    pieces, count = scipy.ndimage.label(bone)
    if count < 2:
        return bone
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def _add_discs(tissue: NDArray[np.uint8], lattice: Lattice, spine: Sequence[Posed]) -> None:
    """Discs as short cylinders between bodies; the vertebrae are drawn over them."""
    for upper, lower in pairwise(spine):
        if upper.label == label_of("C1"):
            continue
        between = replace(upper, centre=(upper.centre + lower.centre) / 2, distance=upper.distance)
        shape = shape_of(upper.label, upper.distance, np.random.default_rng(0), 0.0)
        _draw(
            tissue,
            lattice,
            between,
            np.array([shape.width, shape.depth, 0.8 * upper.distance]) / 2,
            Tissue.DISC,
        )


def _add_canal(tissue: NDArray[np.uint8], lattice: Lattice, spine: Sequence[Posed]) -> None:
    """The spinal canal, as overlapping short cylinders behind the bodies."""
    for vertebra in spine:
        shape = shape_of(vertebra.label, vertebra.distance, np.random.default_rng(0), 0.0)
        offset = 0.0 if vertebra.label == label_of("C1") else shape.canal_centre
        behind = replace(vertebra, centre=vertebra.centre + offset * vertebra.axes[1])
        half = np.array([shape.canal_width, shape.canal_depth, 1.3 * vertebra.distance]) / 2
        _draw(tissue, lattice, behind, half, Tissue.SPINAL_CANAL)


def _draw(
    tissue: NDArray[np.uint8],
    lattice: Lattice,
    frame: Posed,
    half: NDArray[np.float64],
    kind: Tissue,
) -> None:
    """An elliptic cylinder of half width, half depth, half height in a vertebra's frame."""
    reach = float(np.linalg.norm(half))
    box, points = box_between(lattice, frame.centre - reach, frame.centre + reach)
    local = frame.local(points)
    inside = (local[..., 0] / half[0]) ** 2 + (local[..., 1] / half[1]) ** 2 < 1
    inside &= np.abs(local[..., 2]) < half[2]
    tissue[box][inside] = kind


def _annotated(
    vertebrae: NDArray[np.uint8],
    lattice: Lattice,
    spine: Sequence[Posed],
    shares: dict[int, float],
) -> tuple[tuple[Centroid, ...], tuple[Centroid, ...]]:
    """Centroids of whole vertebrae and of cut ones whose centre the lattice holds."""
    whole: list[Centroid] = []
    cut: list[Centroid] = []
    for vertebra in spine:
        index = lattice.index(vertebra.centre)
        if (index < 0).any() or (index > np.array(lattice.size) - 1).any():
            continue
        x, y, z = vertebra.centre.tolist()
        centroid = Centroid(vertebra.label, (x, y, z))
        (whole if shares[vertebra.label] > 1 - _CUT_SHARE else cut).append(centroid)
    present = set(np.flatnonzero(np.bincount(vertebrae.ravel())).tolist())
    return (
        tuple(c for c in whole if c.label in present),
        tuple(c for c in cut if c.label in present),
    )
