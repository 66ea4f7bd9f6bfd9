"""Real vertebrae and a real pelvis for invented columns: taken from a body, put where they belong.

A bent body (see bending) keeps the column it was born with. Here each of its vertebrae goes to a
vertebra of an invented column on its own: turned into its frame, and scaled to the distance of its
neighbours. So columns with six lumbar or thirteen thoracic vertebrae have real shapes too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import label_of, name_of
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.spine_curve import Posed, Vector, posed_along

#: A level that a regular column lacks looks like its neighbour above.
_MODELS = {label_of("T13"): label_of("T12"), label_of("L6"): label_of("L5")}
#: The pelvis in the frame of the last lumbar vertebra: left, posterior, up; mm.
_PELVIS_LOW, _PELVIS_HIGH = np.array([-170.0, -150.0, -260.0]), np.array([170.0, 120.0, 45.0])
#: Its tilt and that of the body it comes from differ by up to this.
_PELVIC_TILT_DEG = 12.0
#: Its size, beside that of the last vertebrae.
_PELVIC_SCALE = (0.9, 1.15)


@dataclass(frozen=True, slots=True)
class DonorVertebra:
    """One vertebra of the donor.

    frame: its place in the donor. share: 1 in its voxels, 0 elsewhere, z, y, x on lattice, with a
    voxel of margin. low, high: corners of a box in its frame that holds it, mm.
    """

    frame: Posed
    share: NDArray[np.float32]
    lattice: Lattice
    low: Vector
    high: Vector

    @property
    def width(self) -> float:
        """Of the middle of its body, mm; 0 for C1, which has none."""
        return self._reach(0, -1.0) + self._reach(0, 1.0)

    @property
    def depth(self) -> float:
        """From the centre of its body to the front and back again, mm; 0 for C1."""
        return 2 * self._reach(1, -1.0)

    def _reach(self, axis: int, sign: float) -> float:
        """How far bone reaches from the centre along an axis of the frame, mm."""
        points = np.zeros((120, 3))
        points[:, axis] = sign * 0.5 * np.arange(len(points))
        return 0.5 * int(np.argmin(self.inside(points)))

    def inside(self, local: Vector) -> NDArray[np.bool_]:
        """Which points (..., 3) of its frame, mm, are bone."""
        index = self.lattice.index(self.frame.points(local))
        places = np.moveaxis(index[..., ::-1], -1, 0)
        return np.asarray(scipy.ndimage.map_coordinates(self.share, places, order=1) > 0.5)


@dataclass(frozen=True, slots=True)
class Donor:
    """A body and its vertebrae by label."""

    body: AnatomyMap
    vertebrae: Mapping[int, DonorVertebra]

    def model_of(self, label: int) -> DonorVertebra | None:
        """The vertebra that one of this label is modelled on."""
        return self.vertebrae.get(_MODELS.get(label, label))


def donor_from(body: AnatomyMap) -> Donor:
    """The vertebrae of a body that shows all of them whole."""
    places = posed_along([c.label for c in body.centroids], [c.point for c in body.centroids])
    boxes = scipy.ndimage.find_objects(body.vertebrae)
    return Donor(
        body, {place.label: _taken(body, place, boxes[place.label - 1]) for place in places}
    )


def _taken(body: AnatomyMap, frame: Posed, box: tuple[slice, slice, slice]) -> DonorVertebra:
    first = np.array([s.start - 1.0 for s in box[::-1]])
    share = np.pad(body.vertebrae[box] == frame.label, 1).astype(np.float32)
    x, y, z = body.lattice.point(first).tolist()
    lattice = Lattice((x, y, z), body.lattice.spacing, share.shape[::-1])
    voxels = np.stack(np.nonzero(share)[::-1], axis=-1).astype(np.float64)
    local = frame.local(lattice.point(voxels))
    margin = max(body.lattice.spacing)
    return DonorVertebra(
        frame, share, lattice, local.min(axis=0) - margin, local.max(axis=0) + margin
    )


def add_donor_pelvis(
    tissue: NDArray[np.uint8],
    lattice: Lattice,
    last: Posed,
    donor: Donor,
    rng: np.random.Generator,
) -> None:
    """Sacrum, its disc, hips and femurs below the last vertebra, as below L5, if it is lumbar.

    tissue: z, y, x on lattice, changed in place; vertebrae and canal keep their voxels.
    """
    model = donor.vertebrae.get(label_of("L5"))
    if model is None or name_of(last.label)[0] != "L":
        return
    scale = last.distance / model.frame.distance * rng.uniform(*_PELVIC_SCALE)
    tilt = np.deg2rad(rng.uniform(-_PELVIC_TILT_DEG, _PELVIC_TILT_DEG))
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    grid = np.meshgrid(*(np.arange(n) for n in lattice.size), indexing="ij")
    local = last.local(lattice.point(np.stack(grid, axis=-1))) @ turn / scale
    near = ((local > _PELVIS_LOW) & (local < _PELVIS_HIGH)).all(axis=-1)
    index = donor.body.lattice.index(model.frame.points(local[near]))
    places = np.rint(index[:, ::-1]).T
    found = scipy.ndimage.map_coordinates(donor.body.tissue, places, order=0)
    below = local[near][:, 2] < 0
    bone = np.isin(found, [Tissue.SACRUM, Tissue.OTHER_BONE]) | ((found == Tissue.DISC) & below)
    i, j, k = (g[near][bone] for g in grid)
    free = ~np.isin(tissue[k, j, i], [Tissue.VERTEBRA, Tissue.SPINAL_CANAL])
    tissue[k[free], j[free], i[free]] = found[bone][free]
