"""One axis of a grid onto one axis of another, as a matrix: means, Gaussian, linear interpolation.

Between parallel grids, smoothing and resampling an image is one matrix product per axis. Processors
are made for these: many times as fast as filters and resamplers that go from voxel to voxel. What is zero
in whole groups of rows is left out.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from verse_infer.threads import in_threads

Floats = NDArray[np.float32]
#: ITK's recursive Gaussian needs as many voxels.
SHORTEST_SMOOTHED_AXIS = 4
#: Voxels turned to floats at a time.
_SLAB_VOXELS = 2**20
#: Rows of a matrix that are multiplied together: with 16 to 32, sampling a crop takes half the time of a
#: product with the whole matrix.
_BAND_ROWS = 24
_NEGLIGIBLE = 1e-7


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
