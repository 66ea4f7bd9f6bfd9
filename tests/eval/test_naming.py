import math

import pytest

from tests.helpers.scenes import L1, L2, L3
from verse_eval.summaries import linearly_weighted_kappa, one_level_shift
from verse_infer.anatomy import label_of

T11, T12, T13 = label_of("T11"), label_of("T12"), label_of("T13")


def test_kappa_of_agreement_is_1():
    assert linearly_weighted_kappa([(L1, L1), (L2, L2)]) == 1.0
    assert linearly_weighted_kappa([(L1, L1)]) == 1.0


def test_kappa_without_pairs_is_undefined():
    assert math.isnan(linearly_weighted_kappa([]))


def test_kappa_by_hand():
    """True L1 L2 L3, named L1 L2 L2. Observed: mean |0|, |0|, |1| = 1/3. Expected, over the nine
    pairings of true places 0 1 2 with named places 0 1 1: (0+1+1 + 1+0+0 + 2+1+1)/9 = 7/9.
    1 - (1/3)/(7/9) = 4/7."""
    assert linearly_weighted_kappa([(L1, L1), (L2, L2), (L3, L2)]) == pytest.approx(4 / 7)


def test_kappa_falls_with_the_size_of_the_mistake():
    near = linearly_weighted_kappa([(L1, L1), (L2, L3), (L3, L3)])
    far = linearly_weighted_kappa([(L1, L3), (L2, L2), (L3, L3)])
    assert far < near < 1.0


@pytest.mark.parametrize(
    ("matched", "shift"),
    [
        ({}, "none"),
        ({L1: L1, L2: L2}, "none"),
        ({L1: L2, L2: L3}, "down"),
        ({L2: L1, L3: L2}, "up"),
        ({L1: L2, L2: L2}, "none"),  # half is not most
        ({L1: L2, L2: L3, L3: L3}, "down"),
        ({L1: L2, L3: L2}, "none"),  # not all the same way
        ({T12: L1}, "down"),
        ({T12: T13}, "down"),
        ({L1: T13}, "up"),
        ({T11: L1}, "down"),  # T12 may be missing
        ({L1: L3, L2: L1}, "none"),
    ],
)
def test_one_level_shift(matched, shift):
    assert one_level_shift(matched) == shift
