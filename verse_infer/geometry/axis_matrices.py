"""One axis of a grid onto one axis of another, as a matrix: means, Gaussian, linear interpolation.

Between parallel grids, smoothing and resampling an image is one matrix product per axis. Processors
are made for these: many times as fast as filters and resamplers that go from voxel to voxel, though most
of a matrix is zero.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: ITK's recursive Gaussian needs as many voxels.
SHORTEST_SMOOTHED_AXIS = 4
#: Voxels turned to floats at a time.
_SLAB_VOXELS = 2**22


def mean_matrix(size: int, factor: int) -> Floats:
    """Means of `factor` neighbours; (size // factor, size). What is left over at the end is left out."""
    matrix = np.zeros((size // factor, size), np.float32)
    for row in range(size // factor):
        matrix[row, row * factor : (row + 1) * factor] = 1 / factor
    return matrix


def gaussian_matrix(size: int, sigma: float) -> Floats:
    """ITK's recursive Gaussian of standard deviation sigma (voxels), its border included; (size, size).

    What ITK makes of each unit vector is a column. size: at least SHORTEST_SMOOTHED_AXIS.
    """
    unit_vectors = sitk.GetImageFromArray(np.eye(size))
    columns = sitk.RecursiveGaussian(unit_vectors, sigma, direction=1)
    return np.asarray(sitk.GetArrayFromImage(columns), np.float32)


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

    A block of integers is never turned to floats as a whole. Products are few and large: many small
    ones would spend their time waiting for each other's threads.
    """
    along_x, along_y, along_z = matrices
    depth = max(1, _SLAB_VOXELS // (block.shape[1] * block.shape[2]))
    planes = np.empty((len(block), len(along_y), len(along_x)), np.float32)
    for start in range(0, len(block), depth):
        slab = block[start : start + depth]
        planes[start : start + depth] = _along_two(slab, along_x, along_y)
    shape = len(along_z), *planes.shape[1:]
    return np.asarray((along_z @ planes.reshape(len(planes), -1)).reshape(shape), np.float32)


def _along_two(slab: NDArray[Any], along_x: Floats, along_y: Floats) -> Floats:
    """The two inner axes of a slab (z, y, x) times their matrices; z, y, x."""
    rows = np.ascontiguousarray(slab.transpose(1, 0, 2), np.float32)  # y, z, x
    wide = rows.reshape(-1, rows.shape[2]) @ along_x.T
    both = along_y @ wide.reshape(len(rows), -1)
    turned = both.reshape(len(along_y), len(slab), len(along_x)).transpose(1, 0, 2)
    return np.asarray(turned, np.float32)
