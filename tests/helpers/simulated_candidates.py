"""Heatmap maxima as a network of the winners' kind would give them, simulated on real centroids.

What goes wrong in such heatmaps, and is simulated here:

- a vertebra's maximum lies beside its centroid, a little elsewhere in every channel;
- the network is unsure of the level: the error is the same for neighbouring vertebrae, drifts
  along the spine, and is small near C1 and the sacrum. An error of half a level makes two
  channels respond alike, a larger one favours the wrong channel;
- around a missing T12, a T13 or an L6 the network partly counts as on a regular spine, from the
  head or from the foot, and its channels for L6 and T13 respond weakly as they saw few examples;
- vertebrae that do not respond at all (metal, fractures), false maxima on and off the spine, the
  first sacral vertebra as L6;
- the scan shows a part of the spine and cuts a vertebra at its ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, LABELS, MEAN_OFFSETS_MM, label_of
from verse_infer.ct import Centroid

Points = Mapping[int, NDArray[np.float64]]

T11, T12, T13, L1, L5, L6 = (label_of(n) for n in ("T11", "T12", "T13", "L1", "L5", "L6"))
#: Levels of a regular spine; an error of one level moves along this list.
REGULAR = tuple(label for label in CRANIOCAUDAL_LABELS if label != T13)
RARITY = {T13: 0.5, L6: 0.7}
#: Width of a level's response over the levels, and SD of the level error far from C1 and sacrum.
LEVEL_WIDTH, LEVEL_SD, LEVEL_CORRELATION = 0.4, 0.3, 0.9
FLOOR = 0.02  # maxima below are not even written down
SILENT = 0.03  # share of vertebrae that do not respond


@dataclass(frozen=True, slots=True)
class SimulatedScan:
    """truth: the complete vertebrae that respond at all; z_range: LPS z of bottom and top."""

    truth: tuple[Centroid, ...]
    candidates: tuple[Centroid, ...]
    z_range: tuple[float, float]


def simulate(points: Points, rng: np.random.Generator) -> SimulatedScan:
    """One scan's maxima from its true centroids (label to LPS mm, head to foot)."""
    labels = list(points)
    first, last = _field_of_view(len(labels), rng)
    z_range = _z_range(points, labels[first], labels[last], rng)
    responses = _responses(labels, rng)
    truth, candidates = [], []
    for place, (label, point) in enumerate(_with_cut_neighbours(points).items(), start=-1):
        if not z_range[0] <= point[2] <= z_range[1]:
            continue
        complete = label in points and first <= place <= last
        silent = complete and rng.random() < SILENT
        amplitude = rng.uniform(0.5, 1.0) if complete else rng.uniform(0.1, 0.6)
        peak = point + rng.normal(0, 1.5, 3)
        for channel, response in responses.get(label, {label: 1.0}).items():
            at = peak + rng.normal(0, 0.7, 3)
            height = amplitude * response * (0.03 if silent else 1.0)
            candidates.append(_candidate(channel, at, height))
        if complete and not silent:
            truth.append(_candidate(label, point, 1.0))
    candidates += _false_peaks(points, rng)
    inside = [
        c for c in candidates if c.response > FLOOR and z_range[0] <= c.point[2] <= z_range[1]
    ]
    order = rng.permutation(len(inside))
    return SimulatedScan(tuple(truth), tuple(inside[i] for i in order), z_range)


def _candidate(label: int, point: NDArray[np.float64], response: float) -> Centroid:
    x, y, z = (float(value) for value in point)
    return Centroid(label, (x, y, z), float(response))


def _field_of_view(count: int, rng: np.random.Generator) -> tuple[int, int]:
    """Places of the first and the last complete vertebra; half of the scans are cropped."""
    if count <= 4 or rng.random() < 0.5:
        return 0, count - 1
    length = int(rng.integers(4, count))
    first = int(rng.integers(0, count - length + 1))
    return first, first + length - 1


def _with_cut_neighbours(points: Points) -> dict[int, NDArray[np.float64]]:
    """The vertebrae with one more (perhaps cut) at the head and the foot, at mean distance.

    A place at the head that no vertebra can have gets label 0, out of every scan's view.
    """
    labels = list(points)
    above = dict(zip(REGULAR[1:], REGULAR, strict=False)) | {T13: T12}
    below = dict(pairwise(REGULAR[:-1])) | {T13: L1}  # after L5 the sacrum
    head, foot = above.get(labels[0], 0), below.get(labels[-1], 0)
    beyond = np.full(3, np.inf)
    extended = {head: points[labels[0]] - MEAN_OFFSETS_MM[head, labels[0]] if head else beyond}
    extended |= points
    if foot:
        extended[foot] = points[labels[-1]] + MEAN_OFFSETS_MM[labels[-1], foot]
    return extended


def _z_range(
    points: Points, first: int, last: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Bottom and top: 0.6 to 1.2 vertebra heights, at least 11 mm, from the outer centroids."""
    extended = _with_cut_neighbours(points)
    labels = [label for label in extended if label]
    z = {label: extended[label][2] for label in labels}
    above = labels[max(labels.index(first) - 1, 0)]
    below = labels[min(labels.index(last) + 1, len(labels) - 1)]
    heights = np.array([(z[last] - z[below]) or 30.0, (z[above] - z[first]) or 20.0])
    depth = np.maximum(heights * rng.uniform(0.6, 1.2, 2), 11.0)
    return float(z[last] - depth[0]), float(z[first] + depth[1])


def _responses(labels: Sequence[int], rng: np.random.Generator) -> dict[int, dict[int, float]]:
    """For each vertebra, the response of each channel to it, 0 to about 1."""
    errors = _level_errors(labels, rng)
    head, foot = _counted_down(labels), _counted_up(labels)
    found: dict[int, dict[int, float]] = {}
    for place, label in enumerate(labels):
        wrong = 0.5 * float(np.exp(-abs(place - _variant_place(labels)) / 3))
        votes = ((label, 1 - wrong), (head[place], wrong / 2), (foot[place], wrong / 2))
        found[label] = {}
        for voted, weight in votes:
            for channel, response in _smear(voted, errors[place]).items():
                before = found[label].get(channel, 0.0)
                found[label][channel] = before + weight * response * RARITY.get(channel, 1.0)
    return found


def _level_errors(labels: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Level error of each vertebra, in levels, positive towards the foot."""
    drift = np.empty(len(labels))
    drift[0] = rng.normal()
    for place in range(1, len(labels)):
        step = np.sqrt(1 - LEVEL_CORRELATION**2) * rng.normal()
        drift[place] = LEVEL_CORRELATION * drift[place - 1] + step
    place = np.arange(len(labels))
    anchor = np.full(len(labels), np.inf)
    if labels[0] == 1:
        anchor = place.astype(np.float64)
    if labels[-1] in (L5, L6):
        anchor = np.minimum(anchor, place[::-1])
    return drift * LEVEL_SD * np.clip((anchor + 1) / 5, 0, 1)


def _counted_down(labels: Sequence[int]) -> list[int]:
    """What counting along a regular spine from the first vertebra would call each."""
    first = REGULAR.index(T12 if labels[0] == T13 else labels[0])
    return [REGULAR[min(first + i, len(REGULAR) - 1)] for i in range(len(labels))]


def _counted_up(labels: Sequence[int]) -> list[int]:
    """What counting along a regular spine from the last vertebra would call each."""
    last = REGULAR.index({T13: T12, L6: L5}.get(labels[-1], labels[-1]))
    return [REGULAR[max(last - i, 0)] for i in reversed(range(len(labels)))]


def _variant_place(labels: Sequence[int]) -> float:
    """Place of the T13, the L6, or the L1 below a missing T12; infinity on a regular spine."""
    for label in (T13, L6):
        if label in labels:
            return list(labels).index(label)
    return list(labels).index(L1) if (T11, L1) in pairwise(labels) else np.inf


def _smear(label: int, error: float) -> dict[int, float]:
    """Responses of a level's own channel and the two beside it, for an error of the level."""
    place = REGULAR.index(T12 if label == T13 else label)
    around = {k: place + k for k in (-1, 0, 1)}
    if label == T13:  # between T12 and L1
        around = {-1: place, 1: place + 1}
    response = {
        REGULAR[at]: float(np.exp(-((k - error) ** 2) / (2 * LEVEL_WIDTH**2)))
        for k, at in around.items()
        if 0 <= at < len(REGULAR)
    }
    if label == T13:
        response[T13] = float(np.exp(-(error**2) / (2 * LEVEL_WIDTH**2)))
    return response


def _false_peaks(points: Points, rng: np.random.Generator) -> list[Centroid]:
    peaks = []
    places = np.stack(list(points.values()))
    for _ in range(rng.poisson(2.0)):
        near = places[rng.integers(len(places))]
        spread = (8.0, 8.0, 12.0) if rng.random() < 0.5 else (40.0, 40.0, 40.0)
        channel = int(rng.choice(LABELS))
        peaks.append(_candidate(channel, near + rng.normal(0, spread), rng.uniform(0.05, 0.35)))
    if list(points)[-1] == L5 and rng.random() < 0.1:
        sacrum = places[-1] + rng.normal((0.0, 12.0, -28.0), 3.0)
        peaks.append(_candidate(L6, sacrum, rng.uniform(0.05, 0.3)))
    return peaks
