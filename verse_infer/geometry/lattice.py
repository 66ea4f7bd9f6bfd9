"""Regular grids in LPS mm, and moving images between them.

Arrays are indexed z, y, x. Everything else about a lattice (origin, spacing, size, points) is
given in the order x, y, z, in mm, in LPS (ITK's convention).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]
#: Part of an array: slices of z, y, x with start and stop.
Block = tuple[slice, slice, slice]
IDENTITY: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Lattice:
    """A regular grid of voxel centres.

    origin: x, y, z of the centre of voxel (0, 0, 0), LPS mm.
    spacing: distance of voxel centres along each axis, mm.
    size: number of voxels along each axis (x, y, z).
    direction: 3×3 orthonormal matrix, row by row; column j is the unit vector of index axis j.
    """

    origin: Point
    spacing: Point
    size: tuple[int, int, int]
    direction: tuple[float, ...] = IDENTITY

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array on this lattice: z, y, x."""
        return self.size[2], self.size[1], self.size[0]

    def point(self, index: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm of one continuous index or of many; index and result: (..., 3) in x, y, z."""
        scaled = np.asarray(index, dtype=np.float64) * self.spacing
        return scaled @ self._matrix().T + self.origin

    def index(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Continuous index of one LPS point or of many; point and result: (..., 3) in x, y, z."""
        offset = np.asarray(point, dtype=np.float64) - self.origin
        return np.asarray(offset @ self._matrix() / self.spacing)

    def corners(self) -> NDArray[np.float64]:
        """LPS mm of the eight outermost voxel centres; (8, 3)."""
        last = np.asarray(self.size) - 1
        picks = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        return self.point(picks * last)

    def part(self, block: Block) -> "Lattice":
        """The lattice of a part of an array on this one."""
        z, y, x = block
        origin = self.point((x.start, y.start, z.start)).tolist()
        size = (x.stop - x.start, y.stop - y.start, z.stop - z.start)
        return Lattice((origin[0], origin[1], origin[2]), self.spacing, size, self.direction)

    def _matrix(self) -> NDArray[np.float64]:
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @classmethod
    def centred(
        cls, centre: Sequence[float], spacing: float | Point, size: Sequence[int]
    ) -> "Lattice":
        """Axis-aligned lattice whose middle lies at centre; a single spacing counts for all axes."""
        x, y, z = spacing if isinstance(spacing, tuple) else (spacing,) * 3
        first = [c - s * (n - 1) / 2 for c, s, n in zip(centre, (x, y, z), size, strict=True)]
        return cls(
            (first[0], first[1], first[2]),
            (x, y, z),
            (int(size[0]), int(size[1]), int(size[2])),
        )
