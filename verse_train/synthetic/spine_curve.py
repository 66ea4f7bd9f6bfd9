"""Where the vertebrae of an invented spine sit and how they are tilted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verse_infer.anatomy import MEAN_OFFSETS_MM, label_of

Vector = NDArray[np.float64]
REGULAR: tuple[str, ...] = (
    *(f"C{i}" for i in range(1, 8)),
    *(f"T{i}" for i in range(1, 13)),
    *(f"L{i}" for i in range(1, 6)),
)


@dataclass(frozen=True, slots=True)
class Posed:
    """One vertebra in its place.

    label: VerSe label. centre: body centre, LPS mm. axes: rows are the unit vectors to the
    patient's left, to posterior along the endplate, and up along the spine.
    distance: mean distance to its neighbours' centres, mm.
    """

    label: int
    centre: Vector
    axes: Vector
    distance: float

    def local(self, points: Vector) -> Vector:
        """LPS points (..., 3) in the vertebra's own left, posterior, up; mm from its centre."""
        return np.asarray((points - self.centre) @ self.axes.T)

    def points(self, local: Vector) -> Vector:
        """The LPS points (..., 3) of local ones; mm."""
        return np.asarray(local @ self.axes + self.centre)


REGULAR_KIND = "regular"
#: Kinds of columns, with their share of the invented ones. Irregular columns are more than patients
#: have: where synthetic scans are shown beside real ones, which hardly ever have them, these shares leave
#: less than one sample in ten. How rare they are is the labelling's to say.
KIND_SHARES = {REGULAR_KIND: 0.6, "L6": 0.2, "T13": 0.06, "no T12": 0.06, "no L5": 0.08}


def random_kind(rng: np.random.Generator) -> str:
    """A kind of column by KIND_SHARES."""
    return str(rng.choice(list(KIND_SHARES), p=list(KIND_SHARES.values())))


def column_of(kind: str) -> tuple[str, ...]:
    """The column of a kind: regular, L6, T13, or one that lacks a vertebra, such as "no T12"."""
    names = list(REGULAR)
    if kind == "L6":
        names.append("L6")
    elif kind == "T13":
        names.insert(names.index("L1"), "T13")
    elif kind != REGULAR_KIND:
        names.remove(kind.removeprefix("no "))
    return tuple(names)


def pose_spine(names: Sequence[str], rng: np.random.Generator, variation: float) -> list[Posed]:
    """Vertebrae one below the other by real mean offsets, with size, curvature and scoliosis varied.

    The middle vertebra's centre is the origin. variation: 0 is the mean spine, 1 the full range
    (size ±15 %, sagittal offsets ×0.4 to 1.6, scoliosis of up to about 25 mm).
    """
    labels = [label_of(name) for name in names]
    steps = np.array([MEAN_OFFSETS_MM[pair] for pair in pairwise(labels)], np.float64)
    steps[:, 1] *= 1 + variation * rng.uniform(-0.6, 0.6)
    steps *= 1 + variation * rng.uniform(-0.15, 0.15)
    steps *= 1 + variation * rng.uniform(-0.04, 0.04, (len(steps), 1))
    waves = np.arange(len(steps)) * rng.uniform(0.15, 0.5) + rng.uniform(0, 2 * np.pi)
    steps[:, 0] += variation * rng.uniform(0, 5) * np.sin(waves)
    centres = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    centres -= centres[len(centres) // 2]
    return posed_along(labels, centres)


def posed_along(labels: Sequence[int], centres: ArrayLike) -> list[Posed]:
    """Vertebrae at centres (n, 3), head to foot, LPS mm, each upright on the curve through them."""
    centres = np.asarray(centres, np.float64)
    return [
        Posed(label, centre, axes, distance)
        for label, centre, axes, distance in zip(
            labels, centres, _axes(centres), _distances(centres), strict=True
        )
    ]


def _axes(centres: Vector) -> list[Vector]:
    upward = -np.gradient(centres, axis=0)
    axes = []
    for direction in np.asarray(upward):
        up = direction / np.linalg.norm(direction)
        left = np.array([1.0, 0.0, 0.0]) - up[0] * up
        left /= np.linalg.norm(left)
        axes.append(np.stack([left, np.cross(up, left), up]))
    return axes


def _distances(centres: Vector) -> Vector:
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    return np.asarray((np.r_[steps[:1], steps] + np.r_[steps, steps[-1:]]) / 2)
