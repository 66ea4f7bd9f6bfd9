"""Boxes of an axis-aligned lattice: where to draw something small without going over all voxels."""

import numpy as np
from numpy.typing import NDArray

from verse_infer.grid import Block, Lattice

Vector = NDArray[np.float64]


def box_between(lattice: Lattice, low: Vector, high: Vector) -> tuple[Block, Vector]:
    """The part of a lattice between two corners, LPS mm, and its voxels' LPS points, (z, y, x, 3).

    Empty where the corners' box lies outside the lattice.
    """
    size = np.array(lattice.size)
    first = np.clip(np.floor(lattice.index(low)), 0, size).astype(int)
    last = np.clip(np.ceil(lattice.index(high)) + 1, first, size).astype(int)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    grid = np.mgrid[z, y, x]
    return (z, y, x), lattice.point(np.moveaxis(grid[::-1], 0, -1))


def axes_mm(lattice: Lattice) -> tuple[Vector, Vector, Vector]:
    """LPS mm of the voxel centres along x, y, z."""
    x, y, z = (
        o + s * np.arange(n)
        for o, s, n in zip(lattice.origin, lattice.spacing, lattice.size, strict=True)
    )
    return np.asarray(x), np.asarray(y), np.asarray(z)
