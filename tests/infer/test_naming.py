"""Flags about namings, and rivals in words, from hand-made candidates."""

from itertools import pairwise

import numpy as np
import pytest
from msgspec import structs

from verse_infer.anatomy import MEAN_OFFSETS_MM, label_of
from verse_infer.ct import Centroid
from verse_infer.flags import FlagCode
from verse_infer.identification import STRIDE, Reading
from verse_infer.labelling.chain import ChainRule, Naming, label_by_chain, name_by_chain
from verse_infer.naming import (
    gap_flags,
    naming_flags,
    rare_flags,
    rival_kind,
    shows_sacrum_below,
)
from verse_infer.straightening import curve_through

RULE = ChainRule(
    threshold=0.0, weight=0.7, bias=-0.4, neighbour_factor=0.0, response_floor=0.001, max_missing=2
)


def spine(*names):
    """Centroids at mean distances."""
    labels = [label_of(name) for name in names]
    points = [np.zeros(3)]
    for upper, lower in pairwise(labels):
        step = MEAN_OFFSETS_MM.get((upper, lower), (0.0, 0.0, -50.0))
        points.append(points[-1] + step)
    return tuple(
        Centroid(label, tuple(point.tolist()), 0.9)
        for label, point in zip(labels, points, strict=True)
    )


def candidates(vertebrae, shifted):
    """Each body under its own name (0.9) and under the one `shift` levels lower, by {shift: response}."""
    return [
        Centroid(c.label + shift, c.point, response)
        for c in vertebrae
        for shift, response in {0: 0.9, **shifted}.items()
    ]


def codes(flags):
    return [flag.code for flag in flags]


@pytest.mark.parametrize(("response", "doubtful"), [(0.85, True), (0.02, False)])
def test_names_are_doubtful_where_another_level_is_nearly_as_likely(response, doubtful):
    vertebrae = spine("T9", "T10", "T11", "T12")
    naming = name_by_chain(candidates(vertebrae, {-1: response}), RULE)
    assert [c.label for c in naming.vertebrae] == [c.label for c in vertebrae]
    flags = list(naming_flags(naming, 0.3, sacrum_below=False))
    assert codes(flags) == ([FlagCode.NAMES_DOUBTFUL] if doubtful else [])
    if doubtful:
        assert rival_kind(naming) == "the same 1 level higher"
        assert "1 level higher" in flags[0].message
        assert flags[0].value == pytest.approx(naming.margin)


def test_the_margin_is_how_much_more_the_best_path_sums_to():
    """By hand: the rival of each body is the whole path one level higher; only responses differ."""
    vertebrae = spine("T9", "T10", "T11")
    one = candidates(vertebrae, {-1: 0.5})
    naming = name_by_chain(one, RULE)
    worth = np.log((0.9 + 0.001) / (0.5 + 0.001)) / -np.log(0.001)
    steps = [MEAN_OFFSETS_MM[a, b] for a, b in ((15, 16), (16, 17), (17, 18))]
    geometry = sum(
        0.3 * 2 * (np.linalg.norm(np.subtract(own, other)) / np.linalg.norm(other)) ** 2
        for own, other in zip(steps[1:], steps[:2], strict=True)
    )
    assert naming.margin == pytest.approx(3 * 0.7 * worth + geometry, rel=1e-3)
    assert naming.margins == pytest.approx([naming.margin] * 3, rel=1e-3)


def test_names_that_nothing_speaks_against_have_a_wide_margin():
    naming = name_by_chain(spine("L1", "L2", "L3"), structs.replace(RULE, max_deviation=0.5))
    assert naming.margin > 1.0
    assert list(naming_flags(naming, 0.3, sacrum_below=False)) == []


def test_margins_are_of_the_path_that_was_taken():
    """Where an open end would cost vertebrae, the path without that cost is taken, and its rivals."""
    vertebrae = spine("T9", "T10", "T11")
    costly = structs.replace(RULE, open_end_cost=9.0)
    naming = name_by_chain(candidates(vertebrae, {-1: 0.5}), costly, (-500.0, 500.0))
    free = name_by_chain(candidates(vertebrae, {-1: 0.5}), RULE, (-500.0, 500.0))
    assert naming == free
    assert naming.margin > 0


def test_the_best_sequence_is_the_same_with_and_without_margins():
    rng = np.random.default_rng(5)
    for _ in range(20):
        bodies = spine("T8", "T9", "T10", "T11", "T12", "L1")
        noisy = [
            Centroid(c.label + shift, c.point, float(rng.uniform(0.01, 0.9)))
            for c in bodies
            for shift in (-2, -1, 0, 1)
        ]
        assert name_by_chain(noisy, RULE).vertebrae == label_by_chain(noisy, RULE)


@pytest.mark.parametrize(
    ("names", "sacrum", "expected"),
    [
        (("T11", "T12", "L1"), True, []),
        (("T12", "T13", "L1"), False, [FlagCode.THIRTEEN_THORACIC]),
        (("L4", "L5", "L6"), False, [FlagCode.SIX_LUMBAR]),
        (("T10", "T11", "L1"), False, [FlagCode.NO_T12]),
        (("L2", "L3", "L4"), True, [FlagCode.NO_L5]),
        (("L2", "L3", "L4"), False, []),
        (("L3", "L4", "L5"), True, []),
    ],
)
def test_rare_anatomy_is_flagged(names, sacrum, expected):
    assert codes(rare_flags(spine(*names), sacrum_below=sacrum)) == expected


def test_vertebrae_passed_over_are_named():
    (flag,) = gap_flags(spine("T8", "T9", "T12"))
    assert flag.code == FlagCode.GAP_BRIDGED
    assert "T10 T11" in flag.message
    assert list(gap_flags(spine("T11", "L1"))) == []
    (beside_rare,) = gap_flags(spine("T10", "T13"))
    assert beside_rare.message.endswith("T11 T12")


def reading_with_sacrum(chance):
    """A straight curve from z -15 to 215 whose picture shows the sacrum with this chance at every row."""
    curve = curve_through([(0.0, 0.0, 20.0), (0.0, 0.0, 180.0)], (0.0, 200.0))
    answers = len(curve.centre) // STRIDE
    zeros = np.zeros(answers, np.float32)
    names = np.zeros((answers, 26), np.float32)
    return Reading(curve, names, names, zeros, zeros + chance, np.zeros((answers, 2), np.float32))


@pytest.mark.parametrize(
    ("height", "chance", "expected"),
    [(120.0, 0.9, True), (120.0, 0.1, False), (30.0, 0.9, False), (45.0, 0.9, True)],
)
def test_the_sacrum_is_seen_in_the_scan_only(height, chance, expected):
    """At 30 mm above the scan's end most of where it would be lies beyond."""
    lowest = (Centroid(label_of("L4"), (0.0, 0.0, height)),)
    assert shows_sacrum_below(reading_with_sacrum(chance), lowest, bottom=0.0) is expected
    assert not shows_sacrum_below(reading_with_sacrum(chance), (), bottom=0.0)


@pytest.mark.parametrize(
    ("own", "other", "words"),
    [
        (("L3", "L4", "L5"), ("L4", "L5", "L6"), "a naming with L6"),
        (("L4", "L5", "L6"), ("L3", "L4", "L5"), "a naming without L6"),
        (("T11", "T12", "L1"), ("T12", "T13", "L1"), "a naming with T13"),
        (("T10", "T11", "T12"), ("T10", "T11", "L1"), "a naming without T12"),
        (("T3", "T4", "T5"), ("T5", "T6", "T7"), "the same 2 levels lower"),
    ],
)
def test_rivals_are_told_in_words(own, other, words):
    vertebrae = spine(*own)
    rival = tuple(
        Centroid(label_of(name), c.point, 0.5) for name, c in zip(other, vertebrae, strict=True)
    )
    assert rival_kind(Naming(vertebrae, (0.1,) * 3, rival)) == words
