"""Sampling a CT on a lattice, and bringing a result back to the CT's own grid.

Only the block of the CT that a lattice needs is ever copied, never the whole volume as floats.
"""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from verse_infer.ct import Ct
from verse_infer.lattice import Lattice

Floats = NDArray[np.float32]
Block = tuple[slice, slice, slice]
#: ITK's recursive Gaussian needs four voxels along an axis.
SHORTEST_SMOOTHED_AXIS = 4
#: A smoothing kernel is cut off at this many standard deviations.
KERNEL_RADIUS = 4.0
AIR_HU = -1024.0


def sample(ct: Ct, lattice: Lattice, smoothing_mm: float = 0.0, outside: float = AIR_HU) -> Floats:
    """The CT on a lattice: float32 HU, z, y, x; `outside` where the lattice leaves the scan.

    smoothing_mm: standard deviation of a Gaussian applied before. Where the lattice is much coarser
    than the CT, means over whole CT voxels are taken first, of at most half a lattice spacing,
    against aliasing and for speed. Linear interpolation; up to half a voxel beyond the
    outermost voxel centres the border value is repeated.
    """
    result = np.full(lattice.shape, outside, np.float32)
    factors = _shrink_factors(ct.lattice, lattice)
    margin = [
        int(np.ceil(KERNEL_RADIUS * smoothing_mm / s)) + 2 * f
        for s, f in zip(ct.lattice.spacing, factors, strict=True)
    ]
    block = covering_block(ct.lattice, lattice, margin)
    if block is None:
        return result
    image = _image(ct.hu[block], _block_lattice(ct.lattice, block))
    if max(factors) > 1:
        image = sitk.BinShrink(
            image, [min(f, n) for f, n in zip(factors, image.GetSize(), strict=True)]
        )
    image = _smoothed(sitk.Cast(image, sitk.sitkFloat32), smoothing_mm)
    return _resampled(image, lattice, outside)


def bring_back(values: Floats, lattice: Lattice, target: Lattice) -> tuple[Block, Floats] | None:
    """Values on a lattice, linearly interpolated on the part of another grid that it covers.

    values: z, y, x on lattice. Returns the part of the target grid as slices (z, y, x) and the
    float32 block; 0 outside the lattice. None where lattice and target do not meet.
    """
    block = covering_block(target, lattice, (0, 0, 0))
    if block is None:
        return None
    return block, _resampled(_image(values, lattice), _block_lattice(target, block), 0.0)


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


def _block_lattice(grid: Lattice, block: Block) -> Lattice:
    z, y, x = block
    origin = grid.point((x.start, y.start, z.start)).tolist()
    size = (x.stop - x.start, y.stop - y.start, z.stop - z.start)
    return Lattice((origin[0], origin[1], origin[2]), grid.spacing, size, grid.direction)


def _shrink_factors(grid: Lattice, lattice: Lattice) -> list[int]:
    """How many CT voxels along each axis make half a spacing of the coarser lattice, at least 1."""
    coarse = min(lattice.spacing)
    return [max(1, int(coarse / (2.0 * s))) for s in grid.spacing]


def _image(values: NDArray[np.int16] | Floats, lattice: Lattice) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(lattice.origin)
    image.SetSpacing(lattice.spacing)
    image.SetDirection(lattice.direction)
    return image


def _smoothed(image: sitk.Image, sigma_mm: float) -> sitk.Image:
    """Gaussian along every axis that is long enough and not already coarser than the kernel."""
    for axis, (size, spacing) in enumerate(zip(image.GetSize(), image.GetSpacing(), strict=True)):
        if sigma_mm >= 0.3 * spacing and size >= SHORTEST_SMOOTHED_AXIS:
            image = sitk.RecursiveGaussian(image, sigma_mm, direction=axis)
    return image


def _resampled(image: sitk.Image, lattice: Lattice, outside: float) -> Floats:
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
