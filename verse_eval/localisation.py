"""Localisation and identification of vertebrae."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import Centroid

#: A vertebra farther from its true place than this is not identified (Sekuboyina et al. 2021).
IDENTIFICATION_MM = 20.0

#: What makes a vertebra identified, besides lying within 20 mm of its true place:
#:   challenge  among the true centroids of labels that the prediction has, too, its own is the
#:              closest to the predicted one (get_hits of github.com/anjany/verse,
#:              utils/eval_utilities.py: the code the challenge published)
#:   text       among the predicted centroids, its own is the closest to the true one (Sekuboyina et
#:              al. 2021, section 2.3; the code above asks something else)
#:   glocker    among all true centroids, its own is the closest to the predicted one (Glocker et
#:              al. 2013; to be counted over the data set, not per scan)
IdentificationRule = Literal["challenge", "text", "glocker"]


def distances_mm(
    reference: Sequence[Centroid], prediction: Sequence[Centroid]
) -> Mapping[int, float]:
    """Distance of every label that both have, mm."""
    found = {c.label: np.array(c.point) for c in prediction}
    return {
        c.label: float(np.linalg.norm(found[c.label] - c.point))
        for c in reference
        if c.label in found
    }


def identified(
    reference: Sequence[Centroid],
    prediction: Sequence[Centroid],
    rule: IdentificationRule = "challenge",
) -> frozenset[int]:
    """Labels of the reference that the prediction identifies; centroids in mm, each label once."""
    truth = {c.label: c.point for c in reference}
    found = {c.label: c.point for c in prediction}
    common = sorted(truth.keys() & found.keys())
    if rule == "text":
        return frozenset(k for k in common if _hits(k, truth[k], found))
    rivals = {k: truth[k] for k in common} if rule == "challenge" else truth
    return frozenset(k for k in common if _hits(k, found[k], rivals))


def _hits(
    label: int, point: tuple[float, float, float], others: Mapping[int, tuple[float, float, float]]
) -> bool:
    """Is the point's nearest neighbour among others the one of its label, and near enough?

    Of equally near ones the lowest label counts, as argmin does in the challenge's code.
    """
    labels = sorted(others)
    distance = _distances(point, np.array([others[k] for k in labels]))
    nearest = int(distance.argmin())
    return labels[nearest] == label and bool(distance[nearest] <= IDENTIFICATION_MM)


def _distances(
    point: tuple[float, float, float], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(points - point, axis=1))
