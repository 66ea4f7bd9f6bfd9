"""Which vertebra each body is, and which bodies were passed over: read from a straightened picture.

Stage 2 says where bodies are; a curve runs through them, and along it the CT is drawn as one flat
picture (straightening.py). A network reads the picture row by row: bodies, names, regions, where the
sacrum is. The bodies of both, each with what the picture says of its name, are candidates for the
labelling rule, which joins them with the geometry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import LABELS, REGIONS_OF_LABELS
from verse_infer.ct import Centroid, Ct
from verse_infer.grid import Lattice, Point
from verse_infer.landmarks import Heatmaps, responses_at
from verse_infer.resampling import sample
from verse_infer.spine import z_range_of
from verse_infer.straightening import (
    COLUMN_MM,
    LOWEST,
    REACH_MM,
    SpineCurve,
    curve_through,
    mirrored,
    picture_along,
)
from verse_infer.weights import IdentificationOptions

Floats = NDArray[np.float32]
Vectors = NDArray[np.float64]
#: The network answers for every second row of a picture.
STRIDE = 2
#: Unit of the network's offsets, mm.
OFFSET_MM = 10.0
#: What answers near a body count for its name: a Gaussian of this standard deviation, in rows.
NAME_SIGMA = 1.7
#: How often the curve is drawn: through the bodies of stage 2, then through those that were read.
LOOKS = 2
#: Responses below it are not worth a candidate.
_LEAST_RESPONSE = 1e-4


class PictureReader(Protocol):
    """What reads a picture; Network does."""

    def run_heads(self, images: Floats) -> Mapping[str, Floats]:
        """(n, rows, COLUMNS, CHANNELS) -> by name (n, rows / STRIDE, k): logits of names (26), region (3),
        body and sacrum (1 each), and offset (2) in OFFSET_MM; whole (1) is not read, as masks tell it as
        well (549 of 573 vertebrae of 50 real scans right, by masks 548)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the network says along a curve; an answer for every STRIDE-th row of the picture.

    names: logarithms of chances, (answers, 26) in the order of LABELS; regions: the same of each name's
    region. body, sacrum: chances, (answers,). offset: from the curve to a body's centre, mm, across and
    back, (answers, 2).
    """

    curve: SpineCurve
    names: Floats
    regions: Floats
    body: Floats
    sacrum: Floats
    offset: Floats

    @property
    def rows(self) -> Vectors:
        """Row of the picture that each answer is for; (answers,)."""
        return np.arange(len(self.body), dtype=np.float64) * STRIDE + (STRIDE - 1) / 2


@dataclass(frozen=True, slots=True)
class Body:
    """A vertebral body. point: LPS mm. row: of the picture. chance: that there is one, 0 to 1."""

    point: Point
    row: float
    chance: float


def identify(
    ct: Ct,
    localised: Sequence[Centroid],
    guide: Sequence[Point],
    network: PictureReader,
    options: IdentificationOptions,
    heatmaps: Heatmaps | None = None,
) -> tuple[tuple[Centroid, ...], Reading]:
    """Every body as a candidate for every vertebra, and the reading they come from.

    localised: bodies that stage 2 found, with its responses, whatever their labels. guide: points that
    the first curve runs through, LPS mm, one at least. heatmaps: stage 2's, which have their say of names.
    """
    points: Sequence[Point] = guide
    for look in range(LOOKS):
        curve = curve_through(points, z_range_of(ct.lattice))
        reading = read_along(ct, curve, network, options.smoothing_mm)
        read = read_bodies(reading, options.least_body)
        sure = [body.point for body in read if body.chance > options.sure_body]
        if look + 1 < LOOKS and len(sure) >= 2:
            points = sure
    bodies = joined_bodies(read, localised, reading, options)
    candidates = []
    for body in bodies:
        names = _names_in_picture(body, reading, options)
        if heatmaps is not None:
            names = names + options.heatmap_weight * _names_in_heatmaps(body, heatmaps, options)
        candidates.extend(_named(body, names))
    return tuple(candidates), reading


def read_along(ct: Ct, curve: SpineCurve, network: PictureReader, smoothing_mm: float) -> Reading:
    """The picture along a curve and its mirror image, read; their answers averaged."""
    lattice = _lattice_around(curve, ct.lattice)
    picture = picture_along(sample(ct, lattice, smoothing_mm), lattice, curve)
    if len(picture) % STRIDE:
        picture = np.concatenate([picture, np.full_like(picture[:1], LOWEST)])
    heads = network.run_heads(np.stack([picture, mirrored(picture)]))
    turned = np.array([[1.0, 1.0], [-1.0, 1.0]], np.float32)[:, None]
    offset = (heads["offset"] * turned).mean(axis=0) * np.float32(OFFSET_MM)
    mean = {name: values.mean(axis=0) for name, values in heads.items()}
    regions = _log_softmax(mean["region"]) @ np.asarray(REGIONS_OF_LABELS, np.float32).T
    body, sacrum = (_sigmoid(mean[name][:, 0]) for name in ("body", "sacrum"))
    return Reading(curve, _log_softmax(mean["names"]), regions, body, sacrum, offset)


def _lattice_around(curve: SpineCurve, scan: Lattice) -> Lattice:
    """Axis-aligned lattice of the picture's spacing that holds its planes, as far as the scan goes."""
    corners = scan.corners()
    low = np.maximum(curve.centre.min(axis=0) - REACH_MM, corners.min(axis=0))
    high = np.minimum(curve.centre.max(axis=0) + REACH_MM, corners.max(axis=0))
    size = np.maximum(np.floor((high - low) / COLUMN_MM).astype(int) + 1, 1).tolist()
    x, y, z = low.tolist()
    return Lattice((x, y, z), (COLUMN_MM,) * 3, (size[0], size[1], size[2]))


def read_bodies(reading: Reading, least: float) -> list[Body]:
    """Maxima of the bodies' chances along the rows, at places between rows, in their order."""
    chances = reading.body
    bodies: list[Body] = []
    for i, chance in enumerate(chances):
        if chance < least or chance < chances[max(0, i - 2) : i + 3].max():
            continue
        if bodies and reading.rows[i] - bodies[-1].row <= STRIDE:  # a plateau is one body
            continue
        row = float(reading.rows[i] + STRIDE * _between(chances, i))
        across, back = (float(np.interp(row, reading.rows, part)) for part in reading.offset.T)
        bodies.append(Body(reading.curve.point(row, across, back), row, float(chance)))
    return bodies


def _between(values: Floats, i: int) -> float:
    """Where a Gaussian through a maximum and its neighbours has its middle, in places from i."""
    if not 0 < i < len(values) - 1:
        return 0.0
    low, mid, high = np.log(values[i - 1 : i + 2] + 1e-6)
    curvature = low - 2 * mid + high
    return float(np.clip(0.5 * (low - high) / curvature, -1, 1)) if curvature < 0 else 0.0


def joined_bodies(
    read: Sequence[Body],
    localised: Sequence[Centroid],
    reading: Reading,
    options: IdentificationOptions,
) -> list[Body]:
    """The picture's bodies and those of stage 2 near the curve, each once."""
    places = np.array([c.point for c in localised]).reshape(-1, 3)
    used: set[int] = set()
    bodies = []
    for body in read:
        nearest = _nearest(body.point, places, options.same_body_mm)
        if nearest is None:
            bodies.append(body)
            continue
        used.add(nearest)
        own, other = (1 - options.blend) * np.array(body.point), options.blend * places[nearest]
        x, y, z = (own + other).tolist()
        chance = _either(body.chance, localised[nearest].response, options)
        bodies.append(Body((x, y, z), body.row, chance))
    for number, found in enumerate(localised):
        row, across, back = reading.curve.place(found.point)
        known = np.array([b.point for b in bodies]).reshape(-1, 3)
        new = number not in used and _nearest(found.point, known, options.same_body_mm) is None
        if new and np.hypot(across, back) < options.off_curve_mm:
            chance = float(np.interp(row, reading.rows, reading.body))
            bodies.append(Body(found.point, row, _either(chance, found.response, options)))
    return bodies


def _nearest(point: Point, places: Vectors, within_mm: float) -> int | None:
    """Which of some places (n, 3) is nearest to a point; None where none is near enough."""
    distances = np.linalg.norm(places - point, axis=1)
    if not len(distances) or distances.min() > within_mm:
        return None
    return int(distances.argmin())


def _either(chance: float, response: float, options: IdentificationOptions) -> float:
    """The chance of a body that the picture gives one, and stage 2 another."""
    return 1 - (1 - chance) * (1 - options.localised_share * min(1.0, max(0.0, response)))


def _names_in_picture(body: Body, reading: Reading, options: IdentificationOptions) -> Floats:
    """What the picture's rows near a body say of its name; (26,), logarithms."""
    near = np.exp(-0.5 * ((reading.rows - body.row) / NAME_SIGMA) ** 2)
    near /= max(float(near.sum()), 1e-9)
    return np.asarray(near @ (reading.names + options.region_weight * reading.regions), np.float32)


def _names_in_heatmaps(body: Body, heatmaps: Heatmaps, options: IdentificationOptions) -> Floats:
    """What stage 2's heatmaps say of the name within a voxel of a body; (26,), logarithms."""
    responses = np.zeros(len(LABELS), np.float32)
    places = [LABELS.index(label) for label in heatmaps.labels]
    responses[places] = responses_at(heatmaps, body.point)
    shares = np.maximum(responses, 0) + options.heatmap_floor
    return np.asarray(np.log(shares / shares.sum()), np.float32)


def _named(body: Body, names: Floats) -> list[Centroid]:
    """The body as a candidate for every vertebra: its chance times that of the name."""
    chances = np.exp(_log_softmax(names))
    return [
        Centroid(label, body.point, float(body.chance * chance))
        for label, chance in zip(LABELS, chances, strict=True)
        if body.chance * chance > _LEAST_RESPONSE
    ]


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -50, 50))), np.float32)
