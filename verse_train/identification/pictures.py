"""Straightened pictures of prepared cases, along curves as inference finds them: never quite right.

A case is drawn along a few different curves, each kept; samples are made from these (samples.py).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import region_of
from verse_infer.straightening import (
    BEYOND_MM,
    COLUMN_MM,
    ROW_MM,
    SpineCurve,
    along_line,
    curve_through,
    picture_along,
)
from verse_infer.weights import IdentificationOptions
from verse_train.data.fields_of_view import spine_points
from verse_train.data.prepared import PreparedCase, load_prepared

Halves = NDArray[np.float16]
#: Of prepared cases: as the container samples a CT for its picture, mm.
SPACING_MM, SMOOTHING_MM = COLUMN_MM, IdentificationOptions().smoothing_mm
#: Different curves along which a case is drawn.
VARIANTS = 8
#: Standard deviation of a point of the curve across it, mm: of most curves, and of the others.
POINT_MM, ROUGH_POINT_MM = 1.5, 4.0
#: Share of rough curves; of curves that know only some of the bodies; of those that wander off.
ROUGH, PARTIAL, WANDERING = 0.25, 0.35, 0.3
#: Largest standard deviation of a curve that wanders, mm, and how smoothly it does.
WANDERING_MM, WANDERING_LENGTH_MM = 8.0, 60.0
#: How far from the spine a curve lies that misses it, mm.
BESIDE_MM = (40.0, 90.0)
#: Room below the lowest lumbar vertebra for another one, mm; where there is none, it is the sacrum.
ROOM_BELOW_MM = 45.0
#: The sacrum begins so far below the centre of the lowest vertebra, mm.
SACRUM_BELOW_MM = 24.0


@dataclass(frozen=True, slots=True)
class CasePicture:
    """One case drawn along one curve.

    picture: (rows, COLUMNS, CHANNELS), see straightening. bodies: all vertebrae whose centre is in the
    scan, as rows of (label, row, whole, dx, dy): fractional row, 1 where the scan holds the whole
    vertebra, and how far from the curve the centre lies, mm. sacrum: row above which there is none, -inf
    where it is not known to be in view.
    """

    picture: Halves
    bodies: NDArray[np.float32]
    sacrum: float


@lru_cache(maxsize=4096)
def case_picture(path: Path, variant: int) -> CasePicture:
    """The case of a file, drawn along the curve of a variant; the last variant's misses the spine."""
    case = load_prepared(path)
    rng = np.random.default_rng((variant, len(case.hu), *path.name.encode()))
    curve = random_curve(case, rng)
    if variant < VARIANTS - 1:
        return drawn(case, curve)
    aside = _beside(curve, rng)
    return drawn(replace(case, centroids=(), cut=()), aside)


def drawn(case: PreparedCase, curve: SpineCurve) -> CasePicture:
    """A case drawn along a curve."""
    picture = picture_along(case.hu, case.lattice, curve)
    entries = [
        *((c.label, 1.0, *curve.place(c.point)) for c in case.centroids),
        *((c.label, 0.0, *curve.place(c.point)) for c in case.cut),
    ]
    bodies = np.asarray(entries, np.float32).reshape(-1, 5)[:, [0, 2, 1, 3, 4]]
    return CasePicture(picture.astype(np.float16), bodies, _sacrum_row(bodies))


def _sacrum_row(bodies: NDArray[np.float32]) -> float:
    """Highest row of the sacrum: half a step below the lowest vertebra, if it is lumbar and not at the
    scan's end, as every visible vertebra is annotated."""
    if not len(bodies):
        return -np.inf
    label, row = bodies[bodies[:, 1].argmin(), :2]
    lumbar = region_of(int(label)) == "lumbar"
    room = row * ROW_MM - BEYOND_MM > ROOM_BELOW_MM
    return float(row - SACRUM_BELOW_MM / ROW_MM) if lumbar and room else -np.inf


def random_curve(case: PreparedCase, rng: np.random.Generator) -> SpineCurve:
    """The curve through a case's bodies as inference might have it; without bodies up its middle."""
    points = spine_points(case)
    if not len(points):
        points = case.lattice.corners().mean(axis=0)[None]
    if rng.random() < PARTIAL and len(points) > 3:
        keep = int(rng.integers(2, len(points)))
        first = int(rng.integers(len(points) - keep + 1))
        points = points[first : first + keep]
    sigma = ROUGH_POINT_MM if rng.random() < ROUGH else POINT_MM
    points = points + np.array([sigma, sigma, 2.0]) * rng.standard_normal(points.shape)
    z = case.lattice.corners()[:, 2]
    curve = curve_through(points, (z.min(), z.max()))
    if rng.random() < WANDERING:
        curve = _wandering(curve, rng.uniform(0.0, WANDERING_MM), rng)
    return curve


def _beside(curve: SpineCurve, rng: np.random.Generator) -> SpineCurve:
    """The curve moved to one side of the spine or before it, where no body is in its middle."""
    side, front = rng.choice([-1, 1]) * rng.uniform(*BESIDE_MM), -rng.uniform(*BESIDE_MM)
    x, y = ((side, 0.0), (0.0, front), (side, front))[int(rng.integers(3))]
    return replace(curve, centre=curve.centre + np.array([x, y, 0.0]))


def _wandering(curve: SpineCurve, size: float, rng: np.random.Generator) -> SpineCurve:
    """The curve moved to and fro by so many mm."""
    z = np.arange(curve.centre[0, 2], curve.centre[-1, 2] + 0.5)
    line = [
        np.interp(z, curve.centre[:, 2], curve.centre[:, d]) + size * _smooth_noise(len(z), rng)
        for d in (0, 1)
    ]
    return along_line(np.column_stack([*line, z]))


def _smooth_noise(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    noise = scipy.ndimage.gaussian_filter1d(
        rng.standard_normal(length), WANDERING_LENGTH_MM, mode="wrap"
    )
    return np.asarray(noise / max(float(noise.std()), 1e-9))
