"""Random spatial and intensity changes of training samples.

A spatial change is a map from points of the sample's lattice to points of the scan: a rotation,
scaling and mirroring about the sample's centre, then a smooth random displacement. Volumes are
sampled through the map; points of the scan come into the sample through its inverse.
"""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.grid import Lattice
from verse_train.config import Augmentation

Floats = NDArray[np.float32]
#: The papers place 6 control points along each axis of the sample.
CONTROL_POINTS = 6
#: The displacement is evaluated on every eighth voxel and interpolated linearly between.
COARSE = 8


@dataclass(frozen=True, slots=True)
class SpatialMap:
    """From points of a sample's lattice to points of the scan, both LPS mm.

    matrix: 3×3, about centre. target: the scan point that the centre goes to.
    displacement: mm added after the linear part, on every COARSE-th voxel of the lattice;
        3 (x, y, z), z, y, x.
    """

    lattice: Lattice
    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]
    target: NDArray[np.float64]
    displacement: Floats

    def scan_points(self) -> Floats:
        """Scan point of every voxel; 3 (x, y, z), z, y, x."""
        shape = self.lattice.shape
        axes = [
            np.asarray(self.lattice.origin[d] + self.lattice.spacing[d] * np.arange(n), np.float64)
            for d, n in enumerate(self.lattice.size)
        ]
        x, y, z = (axis - c for axis, c in zip(axes, self.centre, strict=True))
        points = np.empty((3, *shape), np.float32)
        for d in range(3):
            mx, my, mz = self.matrix[d]
            plane = (mz * z)[:, None, None] + (my * y)[None, :, None] + (mx * x)[None, None, :]
            points[d] = plane + self.target[d]
            points[d] += _upsampled(self.displacement[d], shape)
        return points

    def sample_points(self, scan_points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lattice points (LPS mm) that go to the given scan points; (n, 3).

        By fixed-point iteration: the displacement is far smoother than it is large, so that ten
        steps leave less than 0.1 mm.
        """
        inverse = np.linalg.inv(self.matrix)
        points = (scan_points - self.target) @ inverse.T + self.centre
        for _ in range(10):
            moved = scan_points - self._displacement_at(points)
            points = (moved - self.target) @ inverse.T + self.centre
        return points

    def _displacement_at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        coarse = self.lattice.index(points)[:, ::-1].T / COARSE
        return np.stack(
            [
                scipy.ndimage.map_coordinates(component, coarse, order=1, mode="nearest")
                for component in self.displacement
            ],
            axis=1,
        ).astype(np.float64)


def _upsampled(coarse: Floats, shape: tuple[int, int, int]) -> Floats:
    """Linear interpolation from every COARSE-th voxel to all, one axis after the other."""
    for axis, size in enumerate(shape):
        position = np.arange(size, dtype=np.float32) / COARSE
        below = np.minimum(position.astype(np.intp), coarse.shape[axis] - 2)
        weight = (position - below).reshape([-1 if a == axis else 1 for a in range(3)])
        low = np.take(coarse, below, axis)
        coarse = low + weight * (np.take(coarse, below + 1, axis) - low)
    return coarse


def random_map(
    lattice: Lattice, target: NDArray[np.float64], settings: Augmentation, rng: np.random.Generator
) -> SpatialMap:
    """A random map that brings the scan around target into the middle of the lattice.

    target: LPS mm, (3,). Scaling acts on all axes together; mirroring reflects x.
    """
    centre = lattice.corners().mean(axis=0)
    angles = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg, 3))
    scale = rng.uniform(1 - settings.scale, 1 + settings.scale)
    matrix = _rotation(angles) / scale
    if settings.mirror and rng.random() < 0.5:
        matrix = matrix @ np.diag([-1.0, 1.0, 1.0])
    shift = rng.uniform(-settings.translation_mm, settings.translation_mm, 3)
    return SpatialMap(
        lattice, matrix, centre, target + shift, _random_displacement(lattice, settings, rng)
    )


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z; angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _random_displacement(
    lattice: Lattice, settings: Augmentation, rng: np.random.Generator
) -> Floats:
    """Cubic B-splines through random control points, on every COARSE-th voxel; mm."""
    shape = tuple(-(-n // COARSE) + 1 for n in lattice.shape)
    control = rng.uniform(-1, 1, (3, *(CONTROL_POINTS,) * 3)).astype(np.float32)
    positions = np.meshgrid(
        *(np.linspace(0, CONTROL_POINTS - 1, n, dtype=np.float32) for n in shape), indexing="ij"
    )
    # Control values are the B-spline coefficients (no prefilter): the amplitude stays bounded.
    return np.stack(
        [
            settings.elastic_mm
            * scipy.ndimage.map_coordinates(c, positions, order=3, mode="nearest", prefilter=False)
            for c in control
        ]
    ).astype(np.float32)


def sample_volume(
    volume: NDArray[np.int16] | NDArray[np.uint8],
    lattice: Lattice,
    points: Floats,
    *,
    order: int,
    outside: float,
) -> Floats:
    """Volume at points; volume: z, y, x on an axis-aligned lattice; points: 3 (x, y, z), z, y, x.

    order: 0 nearest (labels) or 1 linear (HU). Outside the volume the result is `outside`.
    """
    index = np.stack(
        [(points[d] - lattice.origin[d]) / lattice.spacing[d] for d in (2, 1, 0)]
    ).astype(np.float32)
    low = np.maximum(np.floor(index.min(axis=(1, 2, 3))).astype(int), 0)
    high = np.minimum(np.ceil(index.max(axis=(1, 2, 3))).astype(int) + 1, volume.shape)
    if (high - low < 1).any():
        return np.full(points.shape[1:], outside, np.float32)
    block = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    index -= low.reshape(3, 1, 1, 1).astype(np.float32)
    return np.asarray(
        scipy.ndimage.map_coordinates(block, index, order=order, mode="constant", cval=outside),
        np.float32,
    )


def change_intensities(
    hu: Floats, spacing_mm: float, settings: Augmentation, rng: np.random.Generator
) -> Floats:
    """Blur and noise in HU, then HU / 2048 clamped to [-1, 1], scaled and shifted."""
    if settings.blur_mm and rng.random() < 0.5:
        sigma = rng.uniform(0, settings.blur_mm) / spacing_mm
        hu = scipy.ndimage.gaussian_filter1d(hu, sigma, axis=int(rng.integers(3)), truncate=3.0)
    if settings.noise_hu and rng.random() < 0.5:
        hu = hu + np.float32(rng.uniform(0, settings.noise_hu)) * _noise(
            hu.shape, settings.noise_grain_mm / spacing_mm, rng
        )
    values = np.clip(hu / 2048.0, -1.0, 1.0)
    scale = rng.uniform(1 - settings.intensity_scale, 1 + settings.intensity_scale)
    shift = rng.uniform(-settings.intensity_shift, settings.intensity_shift)
    return np.asarray(values * np.float32(scale) + np.float32(shift), np.float32)


def _noise(shape: tuple[int, ...], grain: float, rng: np.random.Generator) -> Floats:
    """Noise of standard deviation 1, smoothed by a Gaussian of random sigma up to grain voxels."""
    noise = rng.standard_normal(shape, np.float32)
    if not grain:
        return noise
    smooth = scipy.ndimage.gaussian_filter(noise, rng.uniform(0, grain), truncate=3.0)
    return np.asarray(smooth / smooth.std(), np.float32)
