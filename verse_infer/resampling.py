"""Sampling a CT on a lattice, and bringing a result back to the CT's own grid.

Only the block of the CT that a lattice needs is ever looked at, never the whole volume as floats.
Smoothing, and resampling between parallel grids, are one matrix product per axis: means, Gaussian and
linear interpolation in one. Processors are made for these: many times as fast as filters and resamplers
that go from voxel to voxel. What is zero in whole groups of rows is left out. To an oblique grid ITK
resamples.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from verse_infer.concurrency import in_threads
from verse_infer.ct import Ct
from verse_infer.grid import Block, Lattice

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]
#: Further than this many standard deviations, voxels are not looked at.
KERNEL_RADIUS = 4.0
#: Smoothing by less than this share of a voxel changes nothing worth the time.
LEAST_SIGMA = 0.3
#: Grids count as parallel where no voxel of one is further than this from its place, in voxels.
PARALLEL_WITHIN = 0.01
AIR_HU = -1024.0
#: ITK's recursive Gaussian needs as many voxels.
SHORTEST_SMOOTHED_AXIS = 4
#: Voxels turned to floats at a time.
_SLAB_VOXELS = 2**20
#: Rows of a matrix that are multiplied together: with 16 to 32, sampling a crop takes half the time of a
#: product with the whole matrix.
_BAND_ROWS = 24
_NEGLIGIBLE = 1e-7


def sample(ct: Ct, lattice: Lattice, smoothing_mm: float = 0.0, outside: float = AIR_HU) -> Floats:
    """The CT on a lattice: float32 HU, z, y, x; `outside` where the lattice leaves the scan.

    smoothing_mm: standard deviation of a Gaussian applied before. Where the lattice is much coarser
    than the CT, means over whole CT voxels are taken first, of at most half a lattice spacing,
    against aliasing. Linear interpolation; up to half a voxel (or half a mean) beyond the centres
    of the outermost ones the border value is repeated.
    """
    factors = _shrink_factors(ct.lattice, lattice)
    margin = [
        int(np.ceil(KERNEL_RADIUS * smoothing_mm / s)) + 2 * f
        for s, f in zip(ct.lattice.spacing, factors, strict=True)
    ]
    block = covering_block(ct.lattice, lattice, margin)
    if block is None:
        return np.full(lattice.shape, outside, np.float32)
    grid = ct.lattice.part(block)
    factors = [min(f, n) for f, n in zip(factors, grid.size, strict=True)]
    coarse = _of_means(grid, factors)
    smoothing = [
        _smoothing_matrix(n, f, smoothing_mm / s)
        for n, f, s in zip(grid.size, factors, coarse.spacing, strict=True)
    ]
    positions = _positions(lattice, coarse)
    if positions is None:
        return _resampled(apply_matrices(ct.hu[block], smoothing), coarse, lattice, outside)
    matrices = [
        interpolation_matrix(p, m.shape[0]) @ m for p, m in zip(positions, smoothing, strict=True)
    ]
    return _with_outside(apply_matrices(ct.hu[block], matrices), lattice, coarse, outside)


def bring_back(values: Floats, lattice: Lattice, target: Lattice) -> tuple[Block, Floats] | None:
    """Values on a lattice, linearly interpolated on the part of another grid that it covers.

    values: z, y, x on lattice. Returns the part of the target grid as slices (z, y, x) and the
    float32 block; 0 outside the lattice. None where lattice and target do not meet.
    """
    block = covering_block(target, lattice, (0, 0, 0))
    if block is None:
        return None
    part = target.part(block)
    positions = _positions(part, lattice)
    if positions is None:
        return block, _resampled(values, lattice, part, 0.0)
    matrices = [interpolation_matrix(p, n) for p, n in zip(positions, lattice.size, strict=True)]
    return block, _with_outside(apply_matrices(values, matrices), part, lattice, 0.0)


def covering_block(
    grid: Lattice, lattice: Lattice, margin: tuple[int, int, int] | list[int]
) -> Block | None:
    """The slices (z, y, x) of a grid that hold a lattice and a margin (voxels, x, y, z) around it.

    None where the lattice lies wholly outside.
    """
    corners = grid.index(lattice.corners())
    low = np.floor(corners.min(axis=0)).astype(int) - np.asarray(margin)
    high = np.ceil(corners.max(axis=0)).astype(int) + np.asarray(margin) + 1
    low, high = np.maximum(low, 0), np.minimum(high, grid.size)
    if (high <= low).any():
        return None
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _shrink_factors(grid: Lattice, lattice: Lattice) -> list[int]:
    """How many CT voxels along each axis make half a spacing of the coarser lattice, at least 1."""
    coarse = min(lattice.spacing)
    return [max(1, int(coarse / (2.0 * s))) for s in grid.spacing]


def _of_means(grid: Lattice, factors: Sequence[int]) -> Lattice:
    """The grid of means over so many voxels along x, y, z."""
    first = grid.point([(f - 1) / 2 for f in factors]).tolist()
    sx, sy, sz = (s * f for s, f in zip(grid.spacing, factors, strict=True))
    nx, ny, nz = (n // f for n, f in zip(grid.size, factors, strict=True))
    return Lattice((first[0], first[1], first[2]), (sx, sy, sz), (nx, ny, nz), grid.direction)


def _smoothing_matrix(size: int, factor: int, sigma: float) -> Floats:
    """Means, then a Gaussian (sigma in means) unless it would change nothing, or is too wide."""
    means = mean_matrix(size, factor)
    if sigma < LEAST_SIGMA or len(means) < SHORTEST_SMOOTHED_AXIS:
        return means
    return gaussian_matrix(len(means), sigma) @ means


def _positions(lattice: Lattice, grid: Lattice) -> tuple[Vector, Vector, Vector] | None:
    """Index on a grid of a lattice's planes along x, y, z; None unless the two are parallel."""
    first, *others = grid.index(lattice.point(np.vstack([np.zeros(3), np.eye(3)])))
    steps = np.asarray(others) - first
    skew = np.abs(steps - np.diag(np.diag(steps))) * np.asarray(lattice.size)[:, None]
    if skew.max() > PARALLEL_WITHIN:
        return None
    x, y, z = (first[a] + steps[a, a] * np.arange(lattice.size[a]) for a in range(3))
    return x, y, z


def _with_outside(values: Floats, lattice: Lattice, grid: Lattice, outside: float) -> Floats:
    """Values on a lattice, replaced where it is more than half a voxel off a parallel grid."""
    positions = _positions(lattice, grid)
    assert positions is not None
    for axis, (index, size) in enumerate(zip(positions, grid.size, strict=True)):
        off = (index < -0.5) | (index > size - 0.5)
        np.moveaxis(values, 2 - axis, 0)[off] = outside
    return values


def _resampled(values: Floats, grid: Lattice, lattice: Lattice, outside: float) -> Floats:
    """Linear interpolation by ITK, for grids that are not parallel."""
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    resampled = sitk.Resample(
        image,
        lattice.size,
        sitk.Transform(),
        sitk.sitkLinear,
        lattice.origin,
        lattice.spacing,
        lattice.direction,
        outside,
        sitk.sitkFloat32,
    )
    return np.asarray(sitk.GetArrayFromImage(resampled), np.float32)


def mean_matrix(size: int, factor: int) -> Floats:
    """Means of `factor` neighbours; (size // factor, size). What is left over at the end is left out."""
    matrix = np.zeros((size // factor, size), np.float32)
    for row in range(size // factor):
        matrix[row, row * factor : (row + 1) * factor] = 1 / factor
    return matrix


@lru_cache(maxsize=64)
def gaussian_matrix(size: int, sigma: float) -> Floats:
    """ITK's recursive Gaussian of standard deviation sigma (voxels), its border included; (size, size).

    What ITK makes of each unit vector is a column. size: at least SHORTEST_SMOOTHED_AXIS. The crops of a
    scan ask for the same few, so that they are kept; not to be written to.
    """
    unit_vectors = sitk.GetImageFromArray(np.eye(size))
    columns = sitk.RecursiveGaussian(unit_vectors, sigma, direction=1)
    matrix = np.asarray(sitk.GetArrayFromImage(columns), np.float32)
    matrix.flags.writeable = False
    return matrix


def interpolation_matrix(positions: NDArray[np.float64], size: int) -> Floats:
    """Linear interpolation at positions (voxels), border values repeated; (positions, size)."""
    inside = np.clip(positions, 0, size - 1)
    low = np.clip(np.floor(inside).astype(int), 0, max(size - 2, 0))
    share = inside - low
    matrix = np.zeros((len(positions), size))
    rows = np.arange(len(positions))
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, np.minimum(low + 1, size - 1)), share)
    return matrix.astype(np.float32)


def apply_matrices(block: NDArray[Any], matrices: Sequence[Floats]) -> Floats:
    """Every axis of a block (z, y, x) times its matrix (given for x, y, z); float32, z, y, x.

    A block of integers is never turned to floats as a whole, but slab by slab, in threads.
    """
    along_x, along_y, along_z = (_Bands(matrix) for matrix in matrices)
    depth = max(1, _SLAB_VOXELS // (block.shape[1] * block.shape[2]))
    planes = np.empty((len(block), along_y.rows, along_x.rows), np.float32)

    def fill(start: int) -> None:
        slab = block[start : start + depth]
        planes[start : start + depth] = _along_two(slab, along_x, along_y)

    in_threads(fill, range(0, len(block), depth))
    whole = along_z.times(planes.reshape(len(planes), -1))
    return whole.reshape(along_z.rows, *planes.shape[1:])


def _along_two(slab: NDArray[Any], along_x: "_Bands", along_y: "_Bands") -> Floats:
    """The two inner axes of a slab (z, y, x) times their matrices; z, y, x."""
    rows = np.ascontiguousarray(slab.transpose(1, 0, 2), np.float32)  # y, z, x
    wide = along_x.from_the_right(rows.reshape(-1, rows.shape[2]))
    both = along_y.times(wide.reshape(len(rows), -1))
    turned = both.reshape(along_y.rows, len(slab), along_x.rows).transpose(1, 0, 2)
    return np.asarray(turned, np.float32)


class _Bands:
    """A matrix as groups of rows, each with those of its columns that are not zero for all of them.

    Neighbouring rows look at neighbouring voxels, so that most of a matrix is never multiplied; a group
    has enough rows for a product to be fast. Not multiplied either: what is less than _NEGLIGIBLE, the
    far tails of a Gaussian; of 1000 HU it would be a ten-thousandth HU.
    """

    def __init__(self, matrix: Floats) -> None:
        self.rows = len(matrix)
        self._bands = []
        for start in range(0, self.rows, _BAND_ROWS):
            group = matrix[start : start + _BAND_ROWS]
            used = np.flatnonzero(np.abs(group).max(axis=0) > _NEGLIGIBLE)
            columns = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
            band = np.ascontiguousarray(group[:, columns])
            self._bands.append((slice(start, start + len(group)), columns, band))

    def times(self, values: Floats) -> Floats:
        """matrix @ values."""
        product = np.empty((self.rows, values.shape[1]), np.float32)
        for rows, columns, band in self._bands:
            np.matmul(band, values[columns], out=product[rows])
        return product

    def from_the_right(self, values: Floats) -> Floats:
        """values @ matrix.T."""
        product = np.empty((len(values), self.rows), np.float32)
        for rows, columns, band in self._bands:
            np.matmul(values[:, columns], band.T, out=product[:, rows])
        return product
