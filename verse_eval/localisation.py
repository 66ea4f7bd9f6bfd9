"""Localisation and identification of vertebrae."""

from collections.abc import Mapping, Sequence

import numpy as np

from verse_infer.centroids import Centroid

#: A vertebra farther from its true place than this is not identified (Sekuboyina et al. 2021).
IDENTIFICATION_MM = 20.0


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


def identified(reference: Sequence[Centroid], prediction: Sequence[Centroid]) -> frozenset[int]:
    """Labels identified as in VerSe (Sekuboyina et al. 2021, section 3.3).

    The predicted centroid of the label is the closest of all predicted ones to the true centroid,
    and lies within 20 mm.
    """
    if not prediction:
        return frozenset()
    points = np.array([c.point for c in prediction])
    labels = [c.label for c in prediction]
    hits = []
    for centroid in reference:
        distance = np.linalg.norm(points - centroid.point, axis=1)
        nearest = int(distance.argmin())
        if labels[nearest] == centroid.label and distance[nearest] <= IDENTIFICATION_MM:
            hits.append(centroid.label)
    return frozenset(hits)
