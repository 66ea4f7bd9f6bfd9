"""Sampling by ITK's filters, voxel by voxel: what the matrix products must agree with."""

import numpy as np
import SimpleITK as sitk


def itk_sample(ct, lattice, smoothing_mm, factors, outside=-1024.0):
    """Means over factors (x, y, z) of voxels, Gaussian, linear interpolation on the whole CT."""
    image = itk_image(ct.hu.astype(np.float32), ct.lattice)
    if max(factors) > 1:
        image = sitk.BinShrink(image, list(factors))
    for axis, (size, spacing) in enumerate(zip(image.GetSize(), image.GetSpacing(), strict=True)):
        if smoothing_mm >= 0.3 * spacing and size >= 4:
            image = sitk.RecursiveGaussian(image, smoothing_mm, direction=axis)
    return itk_resample(image, lattice, outside)


def itk_image(values, grid):
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image


def itk_resample(image, lattice, outside):
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
    return sitk.GetArrayFromImage(resampled)
