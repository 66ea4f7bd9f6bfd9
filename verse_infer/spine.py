"""Stage 1: where the spine runs, so that the later stages look only there."""

from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.ct import Ct
from verse_infer.grid import Lattice, Point
from verse_infer.networks import Network, normalised
from verse_infer.resampling import sample
from verse_infer.weights import SpineWeights

Floats = NDArray[np.float32]
#: Separate pieces of the heatmap (a spine interrupted by metal) count if they weigh at least this
#: share of the heaviest one; lighter ones are taken for noise.
PIECE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class SpineRegion:
    """Where the spine is.

    centre_xy: x, y of the heatmap's centre of mass, LPS mm. z_range: bottom and top of the spine,
    LPS mm, inside the scan. height: the heatmap's maximum, about 0 to 1. line: centre of mass of each
    of the heatmap's planes that shows it, LPS mm, upwards.
    """

    centre_xy: tuple[float, float]
    z_range: tuple[float, float]
    height: float
    line: tuple[Point, ...] = field(default=(), repr=False)


def locate_spine(ct: Ct, network: Network[SpineWeights]) -> SpineRegion | None:
    """The region of the spine, or None where there is none to be seen."""
    lattice = coarse_lattice(ct.lattice, network)
    hu = sample(ct, lattice, network.weights.smoothing_mm)
    heatmap = network(normalised(hu, network.weights.intensity_divisor)[..., None])[..., 0]
    threshold, options = network.weights.threshold, network.weights.options
    scan_z_range = z_range_of(ct.lattice)
    if options.whole_scan or options.z_margin_mm is None:
        return whole_scan_region(heatmap, lattice, threshold=threshold, scan_z_range=scan_z_range)
    return region_of_heatmap(
        heatmap,
        lattice,
        threshold=threshold,
        margin_mm=options.z_margin_mm,
        scan_z_range=scan_z_range,
        least_height=options.least_height,
    )


def coarse_lattice(scan: Lattice, network: Network[SpineWeights]) -> Lattice:
    """Axis-aligned lattice around the whole scan, centred on it, sizes divisible by 16.

    At least input_size, as the papers pad every scan to one size; networks with instance
    normalisation need as much air around a small scan as they saw in training.
    """
    corners = scan.corners()
    low, high = corners.min(axis=0), corners.max(axis=0)
    spacing = network.weights.spacing_mm
    needed = np.ceil((high - low) / spacing / 16).astype(int) * 16
    size = np.maximum(needed, network.weights.input_size)
    return Lattice.centred(((low + high) / 2).tolist(), spacing, size.tolist())


def region_of_heatmap(
    heatmap: Floats,
    lattice: Lattice,
    *,
    threshold: float,
    margin_mm: float,
    scan_z_range: tuple[float, float],
    least_height: float = 0.0,
) -> SpineRegion | None:
    """Centre of mass and z extent of what rises above the threshold; None if nothing does.

    margin_mm is added to the extent at both ends, as far as the scan goes. least_height: None also
    where the heatmap's maximum is below it, as in long bones, which are a little like a spine.
    """
    pieces, count = scipy.ndimage.label(heatmap > threshold)
    if not count or heatmap.max() < least_height:
        return None
    masses = scipy.ndimage.sum_labels(heatmap, pieces, np.arange(1, count + 1))
    kept = 1 + np.flatnonzero(masses >= PIECE_SHARE * masses.max())
    spine = np.isin(pieces, kept)
    weights = np.where(spine, heatmap, 0.0)
    k, j, i = (axis.astype(np.float64) for axis in np.nonzero(spine))
    centre = np.average(np.stack([i, j, k], axis=1), axis=0, weights=weights[spine])
    x, y, _ = lattice.point(centre)
    ends = lattice.point(np.array([[0.0, 0.0, k.min()], [0.0, 0.0, k.max()]]))[:, 2]
    bottom, top = scan_z_range
    z_range = (max(ends[0] - margin_mm, bottom), min(ends[1] + margin_mm, top))
    line = _centre_line(weights, lattice)
    return SpineRegion((float(x), float(y)), z_range, float(heatmap.max()), line)


def _centre_line(heatmap: Floats, lattice: Lattice) -> tuple[Point, ...]:
    """Centre of mass of each plane that is not all zero."""
    line = []
    for k in np.flatnonzero(heatmap.any(axis=(1, 2))):
        j, i = scipy.ndimage.center_of_mass(heatmap[k])
        x, y, z = lattice.point((i, j, float(k))).tolist()
        line.append((x, y, z))
    return tuple(line)


def whole_scan_region(
    heatmap: Floats, lattice: Lattice, *, threshold: float, scan_z_range: tuple[float, float]
) -> SpineRegion | None:
    """Centre of mass of the whole heatmap, and the whole z extent of the scan.

    The papers' own way (Payer et al. 2020, section 2.1), for weights whose option whole_scan says
    so. None where nothing rises above the threshold, or where values of both signs cancel so that
    their centre lies outside the lattice.
    """
    values = heatmap.astype(np.float64)
    if heatmap.max() <= threshold or values.sum() <= 0:
        return None
    k, j, i = scipy.ndimage.center_of_mass(values)
    if not (0 <= i <= lattice.size[0] - 1 and 0 <= j <= lattice.size[1] - 1):
        return None
    x, y, _ = lattice.point((i, j, k))
    return SpineRegion((float(x), float(y)), scan_z_range, float(heatmap.max()))


def z_range_of(lattice: Lattice) -> tuple[float, float]:
    """LPS z of the lowest and the highest voxel centre, mm."""
    z = lattice.corners()[:, 2]
    return float(z.min()), float(z.max())
