"""How well matched vertebrae are named: agreement beyond chance, and names shifted by one level."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, successors_of

_PLACE = {label: place for place, label in enumerate(CRANIOCAUDAL_LABELS)}

Shift = Literal["up", "none", "down"]


def linearly_weighted_kappa(pairs: Sequence[tuple[int, int]]) -> float:
    """Cohen's kappa (1968) of (true, predicted) labels, weighted by their distance along the spine.

    1 - Σ w·observed / Σ w·expected with w = |difference of places from head to foot|, T13 standing
    between T12 and L1 (Lessmann et al. 2019, section 4.2). 1 for labels that all agree, even where
    chance could not differ; nan without pairs.
    """
    if not pairs:
        return float("nan")
    places = np.array([[_PLACE[true], _PLACE[predicted]] for true, predicted in pairs])
    observed = np.abs(places[:, 0] - places[:, 1]).mean()
    if observed == 0:
        return 1.0
    expected = np.abs(places[:, :1] - places[:, 1][None, :]).mean()
    return float(1.0 - observed / expected)


def one_level_shift(matched: Mapping[int, int]) -> Shift:
    """Are more than half of the matched vertebrae named like a next one, all the same way?

    matched: predicted by true label. "down": named like the next vertebra towards the feet. What may
    be next stands in anatomy (T12, T13 and L1 in any of their orders).
    """
    down = sum(predicted in successors_of(true) for true, predicted in matched.items())
    up = sum(true in successors_of(predicted) for true, predicted in matched.items())
    if 2 * down > len(matched):
        return "down"
    return "up" if 2 * up > len(matched) else "none"
