"""Training samples of vertebra identification: pieces of straightened pictures and what is right there.

A sample depends on the cases, the seed and its number alone. The samples of one batch have one length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import LABELS
from verse_infer.identification import OFFSET_MM, STRIDE
from verse_infer.straightening import COLUMNS, HIGHEST, LOWEST, ROW_MM
from verse_train.data.feed import CaseGroup, chosen_case
from verse_train.data.fields_of_view import SURELY_CUT, SURELY_WHOLE
from verse_train.identification.pictures import VARIANTS, CasePicture, case_picture

Floats = NDArray[np.float32]
#: Lengths of samples, rows: of a few vertebrae to most of a spine. Drawn as often as they are named.
LENGTHS = (64, 64, 96, 96, 128, 160, 192, 256, 320)
#: Columns of a target: index of the name, centre of a body, how much that counts, from the curve to the
#: centre (dx, dy; in units of OFFSET_MM), whether the vertebra is whole, sacrum. Unknown: UNKNOWN.
NAME, BODY, BODY_WEIGHT, DX, DY, WHOLE, SACRUM = range(7)
UNKNOWN = -1.0
#: Standard deviation of a body's Gaussian along the rows, mm; the rows near its centre have its name.
BODY_SIGMA_MM, NAMED_WITHIN_MM = 3.0, 4.6
#: Of the row's distance to the view's end, mm: nearer, a body's centre is neither in view nor out of it.
END_MM = 6.0


@dataclass(frozen=True, slots=True)
class PictureAugmentation:
    """Random changes to a picture; ranges are uniform.

    along, across: factors of the sizes. brightness, contrast: added to, and factors of, HU / 1000.
    noise: largest standard deviation. thick: share of samples with slices of 2 to 6 rows. blanked: share
    with one channel taken away. narrow: share whose view ends beside the spine.
    """

    along: tuple[float, float] = (0.85, 1.18)
    across: tuple[float, float] = (0.88, 1.14)
    brightness: float = 0.08
    contrast: tuple[float, float] = (0.75, 1.3)
    noise: float = 0.08
    thick: float = 0.35
    blanked: float = 0.2
    narrow: float = 0.25


@dataclass(frozen=True, slots=True)
class PictureSample:
    """picture: (rows, COLUMNS, CHANNELS). target: (rows / STRIDE, 7), see the columns above."""

    picture: Floats
    target: Floats


def numbered_picture_sample(
    groups: Sequence[CaseGroup], batch: int, seed: int, number: int
) -> PictureSample:
    """Sample `number` of the stream with this seed; `batch` neighbours have one length."""
    length = int(np.random.default_rng((seed, 1, number // batch)).choice(LENGTHS))
    rng = np.random.default_rng((seed, 2, number))
    for _ in range(8):
        case = case_picture(chosen_case(groups, rng), int(rng.integers(VARIANTS)))
        if len(case.picture) >= length:
            break
    return picture_sample(case, length, rng)


def picture_sample(
    case: CasePicture,
    length: int,
    rng: np.random.Generator,
    settings: PictureAugmentation | None = None,
) -> PictureSample:
    """A random piece of a case's picture of so many rows, changed at random."""
    settings = settings or PictureAugmentation()
    along, across = rng.uniform(*settings.along), rng.uniform(*settings.across)
    rows, start = _rows(len(case.picture), length, along, rng)
    picture = _resampled(case.picture, rows, across)
    inside = np.flatnonzero((rows >= -0.5) & (rows <= len(case.picture) - 0.5))
    bodies = case.bodies.copy()
    bodies[:, 1] = (bodies[:, 1] - start) * along
    bodies[:, 3:] *= across
    ends = (float(inside[0]), float(inside[-1])) if len(inside) else (0.0, 0.0)
    sacrum = (case.sacrum - start) * along
    target = targets(bodies, sacrum, length, ends, ROW_MM / along)
    if rng.random() < 0.5:
        # Left for right; the first channel's columns run from front to back.
        picture[..., 1:] = picture[:, ::-1, 1:].copy()
        known = target[:, NAME] >= 0
        target[known, DX] *= -1
    return PictureSample(_changed(picture, inside, settings, rng), target)


def _rows(
    available: int, length: int, along: float, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Rows of the picture that the sample shows, fractional, and the first of them."""
    step = 1.0 / along
    spare = available - 1 - (length - 1) * step
    # Views end at the scan's own ends more often than chance would have it.
    if spare > 0:
        start = rng.choice([0.0, spare, rng.uniform(0, spare)], p=[0.15, 0.15, 0.7])
    else:
        start = rng.uniform(spare, 0.0)
    return (start + step * np.arange(length)).astype(np.float32), float(start)


def _resampled(picture: NDArray[np.float16], rows: Floats, across: float) -> Floats:
    """Rows and columns by linear interpolation; air outside."""
    low = np.clip(np.floor(rows).astype(int), 0, max(len(picture) - 2, 0))
    share = np.clip(rows - low, 0, 1)[:, None, None]
    block = picture[low[0] : low[-1] + 2].astype(np.float32)
    low = low - low[0]
    values = block[low] * (1 - share) + block[np.minimum(low + 1, len(block) - 1)] * share
    values[(rows < -0.5) | (rows > len(picture) - 0.5)] = LOWEST
    middle = (COLUMNS - 1) / 2
    columns = middle + (np.arange(COLUMNS) - middle) / across
    left = np.clip(np.floor(columns).astype(int), 0, COLUMNS - 2)
    part = np.clip(columns - left, 0, 1).astype(np.float32)[:, None]
    return np.asarray(values[:, left] * (1 - part) + values[:, left + 1] * part, np.float32)


def targets(
    bodies: Floats, sacrum: float, length: int, ends: tuple[float, float], row_mm: float
) -> Floats:
    """What is right at every STRIDE-th row of a picture; (length / STRIDE, 7).

    bodies: as of CasePicture, rows of this picture. sacrum: its highest row. ends: first and last row
    of the scan in the picture. row_mm: distance of the anatomy's rows.
    """
    rows = np.arange(length // STRIDE, dtype=np.float32) * STRIDE + (STRIDE - 1) / 2
    target = np.full((len(rows), 7), UNKNOWN, np.float32)
    target[:, BODY], target[:, BODY_WEIGHT] = 0.0, 1.0
    nearest = np.full(len(rows), np.inf, np.float32)
    for label, row, whole, dx, dy in bodies:
        margin = min(row - ends[0], ends[1] - row) * row_mm
        distance = np.abs(rows - row) * row_mm
        if margin < END_MM:
            if margin > -END_MM:
                target[distance < 3 * BODY_SIGMA_MM, BODY_WEIGHT] = 0.0
            continue
        target[:, BODY] = np.maximum(
            target[:, BODY], np.exp(-0.5 * (distance / BODY_SIGMA_MM) ** 2)
        )
        near = (distance < NAMED_WITHIN_MM) & (distance < nearest)
        nearest[near] = distance[near]
        target[near, NAME] = LABELS.index(int(label))
        target[near, DX], target[near, DY] = dx / OFFSET_MM, dy / OFFSET_MM
        target[near, WHOLE] = _whole(whole, margin / _step_mm(bodies[:, 1], row, row_mm))
    named = target[:, NAME] >= 0
    target[named, SACRUM] = 0.0
    target[(rows < sacrum) & (rows > sacrum - 40.0 / row_mm) & ~named, SACRUM] = 1.0
    outside = (rows < ends[0] - 0.5) | (rows > ends[1] + 0.5)
    target[outside] = UNKNOWN
    target[outside, BODY], target[outside, BODY_WEIGHT] = 0.0, 0.2
    return target


def _step_mm(rows: Floats, row: float, row_mm: float) -> float:
    """Distance of a body to its nearest neighbour, mm."""
    others = np.abs(rows - row) * row_mm
    return float(np.min(others[others > 0], initial=40.0))


def _whole(in_scan: float, margin: float) -> float:
    """Whether a view holds a vertebra; margin: of its centre to the view's end, in steps to its neighbour."""
    if not in_scan or margin < SURELY_CUT:
        return 0.0
    return 1.0 if margin >= SURELY_WHOLE else UNKNOWN


def _changed(
    picture: Floats,
    inside: NDArray[np.intp],
    settings: PictureAugmentation,
    rng: np.random.Generator,
) -> Floats:
    """Intensities, noise, thick slices, narrow views, blanked channels."""
    if rng.random() < settings.thick and len(inside):
        picture = _thick(picture, rng)
    if rng.random() < 0.5:
        noise = rng.standard_normal(picture.shape, np.float32)
        if rng.random() < 0.5:
            noise = scipy.ndimage.uniform_filter(noise, (2, 2, 1)) * 2
        picture = picture + noise * np.float32(rng.uniform(0, settings.noise))
    contrast, shift = rng.uniform(*settings.contrast), rng.uniform(-1, 1) * settings.brightness
    picture = np.where(
        picture > LOWEST + 0.1, picture * np.float32(contrast) + np.float32(shift), picture
    )
    if rng.random() < settings.narrow:
        keep = rng.integers(18, 54, 2)
        middle = COLUMNS // 2
        picture = picture.copy()
        picture[:, : middle - keep[0], 1:] = LOWEST
        picture[:, middle + keep[0] :, 1:] = LOWEST
        picture[:, : middle - keep[1], 0] = LOWEST
        if rng.random() < 0.5:
            picture[..., 3] = LOWEST
    if rng.random() < settings.blanked:
        picture = picture.copy()
        picture[..., int(rng.integers(picture.shape[-1]))] = LOWEST
    return np.clip(picture, LOWEST, HIGHEST).astype(np.float32)


def _thick(picture: Floats, rng: np.random.Generator) -> Floats:
    """Means over slices of 2 to 6 rows, with straight lines between them, as thick slices are sampled."""
    thickness = rng.uniform(1.5, 5.5)
    first = rng.uniform(0, thickness)
    blurred = scipy.ndimage.uniform_filter1d(
        picture, max(2, round(thickness * rng.uniform(0.7, 1.0))), axis=0
    )
    places = np.arange(first, len(picture) - 1, thickness)
    if len(places) < 2:
        return picture
    slices = blurred[np.rint(places).astype(int)]
    index = np.clip((np.arange(len(picture)) - first) / thickness, 0, len(slices) - 1)
    low = np.minimum(index.astype(int), len(slices) - 2)
    share = (index - low).astype(np.float32)[:, None, None]
    return np.asarray(slices[low] * (1 - share) + slices[low + 1] * share, np.float32)
