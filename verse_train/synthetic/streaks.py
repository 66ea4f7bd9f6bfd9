"""Streaks around metal: what filtered back-projection makes of rays that metal hardens and weakens."""

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.grid import Point

Floats = NDArray[np.float32]
#: Views over half a turn.
_VIEWS = 90
#: Standard deviation of the streaks within this distance of the metal, HU.
STREAK_HU = (30.0, 200.0)
_NEAR_MM = 25.0
#: Streaks reach no farther than this beside the tissue's own value, HU.
_MOST_HU = 1500.0
#: Noise of a ray beside its systematic error, as shares of both.
_STARVED = (0.02, 0.15)
#: How far the noise of neighbouring slices and rays goes together, in slices and rays.
_SMOOTH = (0.7, 1.5)


def metal_streaks(metal: NDArray[np.bool_], spacing: Point, rng: np.random.Generator) -> Floats:
    """HU to add to a CT, z, y, x; 0 in slices without metal and where the metal is.

    metal: z, y, x. spacing: x, y, z, mm. Rays are parallel and lie in the slices. A ray through more
    metal looks too transparent, by the square of its path (beam hardening), and is noisier (few
    photons are left); the error alone is back-projected, so tissue plays no part. How strong it is,
    is drawn.
    """
    result = np.zeros(metal.shape, np.float32)
    planes = np.flatnonzero(metal.any(axis=(1, 2)))
    if not len(planes):
        return result
    part = metal[planes]
    error = _back_projected(part, spacing, rng)
    far = scipy.ndimage.distance_transform_edt(~part.any(axis=0), (spacing[1], spacing[0]))
    strength = float(error[:, (far > 0) & (far < _NEAR_MM)].std())
    error *= np.float32(rng.uniform(*STREAK_HU) / max(strength, 1e-6))
    result[planes] = np.where(part, 0.0, np.clip(error, -_MOST_HU, _MOST_HU))
    return result


def _back_projected(metal: NDArray[np.bool_], spacing: Point, rng: np.random.Generator) -> Floats:
    """The error of each slice in some unit."""
    step = max(spacing[:2])
    height, width = metal.shape[1:]
    y = (np.arange(height) - (height - 1) / 2) * spacing[1] / step
    x = (np.arange(width) - (width - 1) / 2) * spacing[0] / step
    middle = int(np.ceil(np.hypot(y[-1], x[-1]))) + 2
    rays = 2 * middle + 1
    slices, rows, columns = metal.nonzero()
    ramp = np.fft.rfftfreq(2 * rays).astype(np.float32)
    starved = rng.uniform(*_STARVED)
    result = np.zeros(metal.shape, np.float32)
    for angle in np.arange(_VIEWS) * np.pi / _VIEWS:
        place = x[None, :] * np.cos(angle) + y[:, None] * np.sin(angle) + middle
        lower = place.astype(int)
        upper_share = (place - lower).astype(np.float32)
        path = _path_lengths(slices, lower[rows, columns], upper_share[rows, columns], rays)
        noise = scipy.ndimage.gaussian_filter(rng.standard_normal(path.shape), _SMOOTH)
        noise /= noise.std()
        wrong = -(path**2) + starved * path.max() * path * noise
        filtered = np.fft.irfft(np.fft.rfft(wrong, 2 * rays) * ramp)[:, :rays].astype(np.float32)
        result += filtered[:, lower] * (1 - upper_share) + filtered[:, lower + 1] * upper_share
    return result


def _path_lengths(
    slices: NDArray[np.intp], lower: NDArray[np.intp], upper_share: Floats, rays: int
) -> Floats:
    """Metal along each ray of each slice, shared between the two rays beside each voxel."""
    count = int(slices.max()) + 1
    index = slices * rays + lower
    path = np.bincount(index, 1 - upper_share, count * rays)
    path += np.bincount(index + 1, upper_share, count * rays)
    return path.reshape(count, rays).astype(np.float32)
