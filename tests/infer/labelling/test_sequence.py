"""Each clause of the 2019 rule on hand-made candidates, and what holds for all of them."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of, name_of
from verse_infer.ct import Centroid
from verse_infer.labelling.sequence import SequenceRule, label_by_sequence

WIDE = (-1000.0, 1000.0)  # no candidate is near an end


def candidate(name, z, response=0.9, x=0.0, y=0.0):
    return Centroid(label_of(name), (float(x), float(y), float(z)), response)


def names(path):
    return [name_of(centroid.label) for centroid in path]


def test_no_candidates_give_no_sequence():
    assert label_by_sequence([], WIDE) == ()


def test_a_clear_sequence_is_returned_as_it_is_head_to_foot():
    clear = [candidate("T12", 60), candidate("L1", 30), candidate("L2", 0)]
    assert label_by_sequence(clear[::-1], WIDE) == tuple(clear)


def test_no_heatmap_above_the_threshold_means_no_vertebra():
    assert label_by_sequence([candidate("L1", 0, 0.25), candidate("L2", -30, 0.2)], WIDE) == ()


def test_of_several_maxima_of_a_heatmap_the_larger_sum_wins():
    chosen = label_by_sequence(
        [
            candidate("L1", 30),
            candidate("L2", 0, 0.8),
            candidate("L2", 2, 0.4),
            candidate("L3", -30),
        ],
        WIDE,
    )
    assert chosen[1].response == 0.8


def test_a_weak_secondary_maximum_fills_the_sequence_where_the_strong_one_does_not_fit():
    found = label_by_sequence(
        [
            candidate("L1", 30),
            candidate("L2", 0, 0.03),
            candidate("L2", 80, 0.5),
            candidate("L3", -30),
        ],
        WIDE,
    )
    assert names(found) == ["L1", "L2", "L3"]
    assert found[1].point[2] == 0


def test_maxima_at_a_tenth_of_the_threshold_are_ignored():
    found = label_by_sequence(
        [
            candidate("L1", 30),
            candidate("L2", 0, 0.025),
            candidate("L2", 80, 0.5),
            candidate("L3", -15),
        ],
        WIDE,
    )
    assert names(found) == ["L1", "L3"]


@pytest.mark.parametrize(
    ("distance", "joined"), [(12.5, False), (12.6, True), (49.9, True), (50, False)]
)
def test_steps_lie_between_12_5_and_50_mm(distance, joined):
    found = label_by_sequence([candidate("L1", 0), candidate("L2", -distance, 0.8)], WIDE)
    assert names(found) == (["L1", "L2"] if joined else ["L1"])


@pytest.mark.parametrize("z", [0, 10])
def test_a_step_never_leads_up_nor_level(z):
    found = label_by_sequence([candidate("L1", 0), candidate("L2", z, 0.8, y=20)], WIDE)
    assert names(found) == ["L1"]


def test_the_first_vertebra_is_the_strongest_near_the_top_so_others_above_it_are_left_out():
    """T11 would be first by the run of heatmaps, but T12 responds most within 30 mm of the top."""
    candidates = [candidate("T11", 74, 0.6), candidate("T12", 60, 0.9), candidate("L1", 30)]
    assert names(label_by_sequence(candidates, (-1000, 85))) == ["T12", "L1"]


def test_the_last_vertebra_is_the_strongest_near_the_bottom():
    candidates = [candidate("L1", 60), candidate("L2", 30, 0.9), candidate("L3", 17, 0.6)]
    assert names(label_by_sequence(candidates, (5, 1000))) == ["L1", "L2"]


def test_near_the_top_needs_half_a_response_and_30_mm():
    above = candidate("T11", 85, 0.45)
    rest = [candidate("T12", 60, 0.49), candidate("L1", 29, 0.9)]
    assert names(label_by_sequence([above, *rest], (-1000, 85))) == ["T11", "T12", "L1"]


def test_without_a_strong_end_the_longest_run_of_heatmaps_counts():
    """C3 is alone; T12, L1, L2 are the longest run. T12 and L1 count as neighbours without T13."""
    candidates = [
        candidate("C3", 90),
        candidate("T12", 60),
        candidate("L1", 30),
        candidate("L2", 0),
    ]
    assert names(label_by_sequence(candidates, WIDE)) == ["T12", "L1", "L2"]


def test_contradicting_ends_fall_back_to_the_longest_run():
    candidates = [candidate("L2", 80, 0.9), candidate("L3", 50, 0.8), candidate("T12", 20, 0.9)]
    assert names(label_by_sequence(candidates, (0, 100))) == ["L2", "L3"]


def test_a_vertebra_beyond_the_end_is_appended_at_a_usual_distance():
    """L2 is the strongest near the bottom; L3 lies 20 mm below it and is appended."""
    candidates = [candidate("L1", 60), candidate("L2", 30, 0.9), candidate("L3", 10, 0.6)]
    assert names(label_by_sequence(candidates, (5, 1000))) == ["L1", "L2", "L3"]


@pytest.mark.parametrize(
    ("distance", "appended"), [(14, False), (15, True), (35, True), (36, False)]
)
def test_appended_vertebrae_lie_15_to_35_mm_away(distance, appended):
    top = [candidate("T10", 60 + distance, 0.6), candidate("T11", 60, 0.9), candidate("T12", 30)]
    rule = SequenceRule(end_margin_mm=60)
    found = label_by_sequence(top, (-1000, 110), rule)
    assert names(found) == (["T10"] if appended else []) + ["T11", "T12"]


def test_appended_vertebrae_need_the_threshold():
    candidates = [candidate("L1", 60), candidate("L2", 30, 0.9), candidate("L3", 10, 0.2)]
    assert names(label_by_sequence(candidates, (5, 1000))) == ["L1", "L2"]


def test_a_silent_vertebra_is_left_out_where_the_step_over_it_stays_below_50_mm():
    candidates = [candidate(f"T{i}", -22 * i) for i in (4, 5, 7, 8)]
    strong_ends = (-22 * 8 - 20.0, -22 * 4 + 20.0)
    assert names(label_by_sequence(candidates, strong_ends)) == ["T4", "T5", "T7", "T8"]


def test_a_missing_t12_is_no_gap_in_the_run():
    candidates = [candidate("T11", 60), candidate("L1", 30), candidate("L2", 0)]
    assert names(label_by_sequence(candidates, WIDE)) == ["T11", "L1", "L2"]


def test_without_variants_neighbours_are_those_of_25_vertebrae_in_one_order():
    rule = SequenceRule(with_variants=False)
    candidates = [candidate("T11", 60), candidate("L1", 30), candidate("L2", 0)]
    assert names(label_by_sequence(candidates, WIDE, rule)) == ["L1", "L2"]
    candidates = [candidate("T12", 60), candidate("L1", 30), candidate("L2", 0)]
    assert names(label_by_sequence(candidates, WIDE, rule)) == ["T12", "L1", "L2"]
    bottom = [candidate("L4", 60), candidate("L5", 30, 0.9), candidate("L6", 5, 0.6)]
    assert names(label_by_sequence(bottom, (0, 1000), rule)) == ["L4", "L5", "L6"]
    beyond = [candidate("T10", 90), candidate("T11", 60, 0.9), candidate("L1", 40, 0.6)]
    assert names(label_by_sequence(beyond, (35, 1000), rule)) == ["T10", "T11"]
    assert names(label_by_sequence(beyond, (35, 1000))) == ["T10", "T11", "L1"]


@st.composite
def candidate_sets(draw):
    count = draw(st.integers(0, 12))
    labels = st.sampled_from(CRANIOCAUDAL_LABELS[15:22])
    place = st.integers(-6, 6).map(lambda n: n * 11.0)
    height = st.floats(0.01, 1.0)
    return [
        Centroid(draw(labels), (draw(place), 0.0, draw(place)), draw(height)) for _ in range(count)
    ]


@given(candidate_sets(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_sequence_is_plausible_and_does_not_depend_on_the_order(candidates, random):
    found = label_by_sequence(candidates, (-80.0, 80.0))
    ranks = [CRANIOCAUDAL_LABELS.index(c.label) for c in found]
    assert all(a < b for a, b in pairwise(ranks))
    assert all(a.point[2] > b.point[2] for a, b in pairwise(found))
    assert set(found) <= set(candidates)
    random.shuffle(candidates)
    assert label_by_sequence(candidates, (-80.0, 80.0)) == found
