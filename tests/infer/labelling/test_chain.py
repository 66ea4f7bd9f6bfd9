"""The 2020 chain model: each clause on hand-made candidates, and the optimum by brute force."""

from dataclasses import replace
from itertools import combinations, pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from verse_infer.anatomy import (
    CRANIOCAUDAL_LABELS,
    MEAN_OFFSETS_MM,
    label_of,
    name_of,
    same_type_neighbours,
)
from verse_infer.ct import Centroid
from verse_infer.labelling.chain import ChainRule, _worth, label_by_chain

PUBLISHED = ChainRule(max_deviation=inf, min_distance_mm=0, max_missing=0)
WITHOUT_GAPS = ChainRule(max_missing=0)


def names(path):
    return [name_of(centroid.label) for centroid in path]


def spine(*vertebrae, response=0.9):
    """These vertebrae at their mean offsets, the first at the origin."""
    labels = [label_of(name) for name in vertebrae]
    points = [np.zeros(3)]
    for edge in pairwise(labels):
        points.append(points[-1] + MEAN_OFFSETS_MM[edge])
    return [
        Centroid(label, tuple(float(v) for v in point), response)
        for label, point in zip(labels, points, strict=True)
    ]


def moved(centroid, **changes):
    """The same with another vertebra's name (name=), response, or shifted by (by=)."""
    if "name" in changes:
        centroid = replace(centroid, label=label_of(changes.pop("name")))
    if "by" in changes:
        point = tuple(a + b for a, b in zip(centroid.point, changes.pop("by"), strict=True))
        centroid = replace(centroid, point=point)
    return replace(centroid, **changes)


@pytest.mark.parametrize(
    ("usual", "rare"),
    [(("T11", "T12", "L1"), ("T11", "L1")), (("L4", "L5"), ("L4", "L5", "L6"))],
)
def test_what_only_rare_spines_have_needs_more_evidence(usual, rare):
    """Two heatmaps are nearly as high as each other; one of the names makes the spine a rare one."""
    rule = structs.replace(PUBLISHED, rarity_weight=0.1)
    doubtful = spine(*rare)
    if len(usual) > len(rare):  # the places are those of T12 and L1
        lower = [moved(doubtful[0], name="T12", response=0.85), doubtful[0], doubtful[1]]
        assert names(label_by_chain(lower, structs.replace(rule, rarity_weight=0.0))) == [
            "T11",
            "L1",
        ]
        assert names(label_by_chain(lower, rule)) == ["T12", "L1"]
    else:  # the lowest place is the sacrum or L6
        weak = [*doubtful[:2], moved(doubtful[2], response=0.0501)]
        gain = label_by_chain(weak, structs.replace(rule, rarity_weight=0.0))
        assert names(gain) == ["L4", "L5", "L6"]
        assert "L6" not in names(label_by_chain(weak, structs.replace(rule, rarity_weight=2.0)))


def test_a_rare_step_costs_as_much_where_the_next_vertebra_is_missing():
    """L1 not found: from T11 to L2 without T12, or from T12, whose heatmap says nothing."""
    t11, _, l2 = spine("T11", "L1", "L2")
    assert names(label_by_chain([t11, l2])) == ["T11", "L2"]
    assert names(label_by_chain([t11, l2], ChainRule(rarity_weight=9.0))) == ["T12", "L2"]


@pytest.mark.parametrize(
    ("true", "shifted", "open_below"),
    [(("L3", "L4", "L5"), ("L2", "L3", "L4"), True), (("C1", "C2"), ("C2", "C3"), False)],
)
def test_a_spine_ends_in_view_with_c1_and_l5_alone(true, shifted, open_below):
    """Heatmaps prefer names one level off; so no vertebra would follow where the scan goes on."""
    places = spine(*true)
    wrong = [moved(place, name=name) for place, name in zip(places, shifted, strict=True)]
    right = [replace(place, response=0.7) for place in places]
    rule = ChainRule(open_end_cost=1.0)
    top, bottom = places[0].point[2], places[-1].point[2]
    room = {"all": (bottom - 60, top + 60), "none": (bottom - 40, top + 40)}
    one_end = (bottom - 60, top + 5) if open_below else (bottom - 5, top + 60)
    assert names(label_by_chain([*wrong, *right], rule, one_end)) == list(true)
    assert names(label_by_chain([*wrong, *right], rule, room["none"])) == list(shifted)
    assert names(label_by_chain([*wrong, *right], rule)) == list(shifted)
    free = structs.replace(rule, open_end_cost=0.0)
    assert names(label_by_chain([*wrong, *right], free, room["all"])) == list(shifted)


def test_an_open_end_costs_no_vertebra():
    """One place near the top could be L5 as well; the others would be lost."""
    found = spine("T9", "T10", "T11")
    alone = replace(found[0], label=label_of("L5"))
    rule = ChainRule(open_end_cost=9.0)
    z_range = found[-1].point[2] - 200, found[0].point[2] + 20
    assert names(label_by_chain([*found, alone], rule, z_range)) == ["T9", "T10", "T11"]


def test_a_lone_vertebra_with_room_for_others_is_none():
    (found,) = spine("T10")
    rule = ChainRule(open_end_cost=3.0)
    above, below = found.point[2] + 100, found.point[2] - 100
    assert label_by_chain([found], rule, (below, above)) == ()
    assert label_by_chain([found], rule, (found.point[2] - 30, found.point[2] + 30)) == (found,)
    assert label_by_chain([found], structs.replace(rule, open_end_cost=0.0), (below, above)) == (
        found,
    )


def test_a_lone_vertebra_that_its_heatmap_denies_is_none():
    rule = ChainRule(threshold=0.0, weight=0.6, bias=-0.4, response_floor=0.002)
    assert label_by_chain(spine("L5", response=0.001), rule) == ()
    assert len(label_by_chain(spine("L5", response=0.5), rule)) == 1


def test_a_regular_spine_costs_no_rarity():
    candidates = spine("T11", "T12", "L1", "L2")
    assert label_by_chain(
        candidates, structs.replace(PUBLISHED, rarity_weight=9.0)
    ) == label_by_chain(candidates, PUBLISHED)


def test_no_candidates_give_no_sequence():
    assert label_by_chain([]) == ()


def test_a_single_candidate_is_a_sequence():
    assert label_by_chain(spine("T5")) == tuple(spine("T5"))


@pytest.mark.parametrize(("response", "count"), [(0.05, 0), (0.051, 1), (float("nan"), 0)])
def test_candidates_need_a_response_above_0_05(response, count):
    assert len(label_by_chain(spine("T5", response=response))) == count


@pytest.mark.parametrize(
    "vertebrae",
    [
        ("C1", "C2", "C3"),
        ("C6", "C7", "T1", "T2"),
        ("T10", "T11", "T12", "L1", "L2"),
        ("T10", "T11", "L1", "L2"),
        ("T10", "T11", "T12", "T13", "L1"),
        ("T12", "L1", "L2", "L3", "L4"),
        ("L2", "L3", "L4", "L5", "L6"),
        ("L2", "L3", "L4", "L5"),
    ],
)
@pytest.mark.parametrize("rule", [ChainRule(), WITHOUT_GAPS])
def test_every_anatomy_is_found_from_clear_candidates(vertebrae, rule):
    clear = spine(*vertebrae)
    assert label_by_chain(clear[::-1], rule) == tuple(clear)


def test_the_bare_formula_names_the_last_vertebra_twice():
    """b = 2 outweighs P = -0.8 of a step of next to nothing; this is why a step has limits.

    L4's heatmap responds weakly, 1 mm below L3's maximum.
    """
    clear = spine("L1", "L2", "L3")
    echo = moved(clear[-1], name="L4", by=(0, 0, -1.0), response=0.1)
    assert label_by_chain([*clear, echo], PUBLISHED) == (*clear, echo)
    for rule in (
        structs.replace(PUBLISHED, max_deviation=0.9),
        structs.replace(PUBLISHED, min_distance_mm=7.5),
    ):
        assert label_by_chain([*clear, echo], rule) == tuple(clear)
    assert label_by_chain([*clear, echo]) == tuple(clear)


def test_a_vertebra_confused_with_its_neighbour_borrows_the_neighbours_maximum():
    """All of L2 responds as L3: the place comes back as L2, with a tenth of the response."""
    l1, l2, l3, l4 = spine("L1", "L2", "L3", "L4")
    found = label_by_chain([l1, moved(l2, name="L3"), l3, l4])
    assert names(found) == ["L1", "L2", "L3", "L4"]
    assert found[1].point == l2.point
    assert found[1].response == pytest.approx(0.09)
    assert found[2] == l3


def test_nothing_is_borrowed_across_regions():
    """L1 responding as T12 is no candidate for L1, so it stays T12 beside a true T12."""
    t11, _, l1 = spine("T11", "T12", "L1")
    found = label_by_chain(
        [t11, moved(l1, name="T12")], structs.replace(WITHOUT_GAPS, max_deviation=inf)
    )
    assert "L1" not in names(found)


def test_a_maximum_of_the_own_heatmap_is_preferred_to_a_borrowed_one():
    l1, l2, l3 = spine("L1", "L2", "L3")
    weak = moved(l2, response=0.2)
    found = label_by_chain([l1, weak, moved(l2, name="L3", response=0.9), l3])
    assert found == (l1, weak, l3)


def test_geometry_outweighs_the_response():
    """A false maximum of 1.0 15 mm beside L2 loses to the true one of 0.3: λ = 0.2."""
    l1, l2, l3 = spine("L1", "L2", "L3")
    true = moved(l2, response=0.3)
    assert label_by_chain([l1, true, moved(l2, by=(15.0, 0, 0), response=1.0), l3]) == (
        l1,
        true,
        l3,
    )


def test_a_large_weight_lets_the_response_win():
    l1, l2, l3 = spine("L1", "L2", "L3")
    false = moved(l2, by=(10.0, 0, 0), response=1.0)
    candidates = [l1, moved(l2, response=0.3), false, l3]
    assert label_by_chain(candidates, ChainRule(weight=0.9)) == (l1, false, l3)


def test_the_majority_of_responses_decides_on_a_shift_of_the_whole_scan():
    """Five vertebrae in the channels T4-T8, weaker also in the channels one level below."""
    right = spine("T4", "T5", "T6", "T7", "T8", response=0.6)
    shifted = [
        moved(centroid, name=name_of(centroid.label + 1), response=0.4) for centroid in right
    ]
    assert label_by_chain([*right, *shifted]) == tuple(right)
    shifted = [moved(centroid, response=0.8) for centroid in shifted]
    assert label_by_chain([*right, *shifted]) == tuple(shifted)


def test_a_false_maximum_far_off_is_left_out():
    clear = spine("L1", "L2", "L3")
    far = Centroid(label_of("L4"), (0.0, 90.0, clear[-1].point[2]), 1.0)
    assert label_by_chain([*clear, far]) == tuple(clear)


def test_a_step_never_leads_up():
    t12, l1 = spine("T12", "L1")
    assert len(label_by_chain([t12, moved(l1, by=(0.0, 0.0, 40.0))])) == 1


def test_a_silent_vertebra_is_bridged_and_misleads_the_published_chain():
    """Without a step over T6, all above it are called one level too low, by borrowed maxima."""
    t4, t5, _, t7, t8, t9 = spine("T4", "T5", "T6", "T7", "T8", "T9")
    candidates = [t4, t5, t7, t8, t9]
    assert label_by_chain(candidates) == tuple(candidates)
    assert names(label_by_chain(candidates, WITHOUT_GAPS)) == ["T5", "T6", "T7", "T8", "T9"]


def test_two_silent_vertebrae_in_a_row_need_max_missing_2():
    t4, t5, _, _, t8, t9, t10 = spine("T4", "T5", "T6", "T7", "T8", "T9", "T10")
    candidates = [t4, t5, t8, t9, t10]
    assert label_by_chain(candidates) == (t8, t9, t10)
    assert label_by_chain(candidates, ChainRule(max_missing=2)) == tuple(candidates)


def test_labels_are_not_skipped_where_no_vertebra_is_missing():
    """The lower half responds one level too low throughout: a half is moved, no T7 left out."""
    upper = spine("T3", "T4", "T5", "T6", "T7", "T8", "T9", "T10")
    candidates = [*upper[:4], *(moved(c, name=name_of(c.label + 1)) for c in upper[4:])]
    assert all(a + 1 == b for a, b in pairwise(c.label for c in label_by_chain(candidates)))


def brute_force_score(candidates, rule):
    """Best sum of U and P over all paths, straight from the published formula."""
    usable = [c for c in candidates if c.response > rule.threshold]
    nodes = [(c.label, c.point, c.response) for c in usable]
    nodes += [
        (label, c.point, c.response * rule.neighbour_factor)
        for c in usable
        for label in same_type_neighbours(c.label)
    ]
    nodes.sort(key=lambda node: CRANIOCAUDAL_LABELS.index(node[0]))
    scores = (
        path_score(path, rule)
        for length in range(1, min(len(nodes), 5) + 1)
        for path in combinations(nodes, length)
    )
    return max(scores, default=-inf)


def path_score(path, rule):
    score = sum(rule.weight * response + rule.bias for _, _, response in path)
    for (upper, start, _), (lower, end, _) in pairwise(path):
        vector = np.subtract(end, start)
        mean = MEAN_OFFSETS_MM.get((upper, lower))
        if mean is None or vector[2] >= 0 or np.linalg.norm(vector) <= rule.min_distance_mm:
            return -inf
        deviation = np.linalg.norm(vector - mean) / np.linalg.norm(mean)
        if deviation >= rule.max_deviation:
            return -inf
        score += (1 - rule.weight) * (1 - 2 * deviation**2)
    return score


@st.composite
def candidate_sets(draw, most=5):
    """A few candidates around the places of T11 to L3, so that steps are often plausible."""
    place = {c.label: c.point for c in spine("T11", "T12", "T13", "L1", "L2", "L3")}
    labels = st.sampled_from(sorted(place))
    shift = st.floats(-12, 12)
    return [
        Centroid(
            draw(labels),
            tuple(value + draw(shift) for value in place[draw(labels)]),
            draw(st.floats(0.01, 1.0)),
        )
        for _ in range(draw(st.integers(0, most)))
    ]


@given(candidate_sets(most=4), st.sampled_from([WITHOUT_GAPS, PUBLISHED]))
@settings(max_examples=60, deadline=None)
def test_the_chain_is_the_optimum_over_all_paths(candidates, rule):
    found = [(c.label, c.point, c.response) for c in label_by_chain(candidates, rule)]
    best = brute_force_score(candidates, rule)
    if best == -inf:
        assert not found
    else:
        assert path_score(found, rule) == pytest.approx(best)


@given(candidate_sets(most=12), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_candidates_does_not_matter(candidates, random):
    found = label_by_chain(candidates)
    random.shuffle(candidates)
    assert label_by_chain(candidates) == found


@given(candidate_sets(most=12), st.integers(0, 1))
@settings(max_examples=100, deadline=None)
def test_paths_are_allowed_by_the_successors_and_lead_down(candidates, max_missing):
    found = label_by_chain(candidates, ChainRule(max_missing=max_missing))
    assert len({c.label for c in found}) == len({c.point for c in found}) == len(found)
    for upper, lower in pairwise(found):
        edge = upper.label, lower.label
        through = {(edge[0], m) in MEAN_OFFSETS_MM and (m, edge[1]) in MEAN_OFFSETS_MM
                   for m in CRANIOCAUDAL_LABELS}  # fmt: skip
        assert edge in MEAN_OFFSETS_MM or (max_missing and any(through))
        assert lower.point[2] < upper.point[2]


@given(candidate_sets(most=12), st.tuples(*[st.integers(-400, 400)] * 3))
@settings(max_examples=100, deadline=None)
def test_moving_the_whole_scan_moves_the_sequence(candidates, shift):
    there = label_by_chain([moved(c, by=shift) for c in candidates], WITHOUT_GAPS)
    here = label_by_chain(candidates, WITHOUT_GAPS)
    if here != tuple(moved(c, by=[-s for s in shift]) for c in there):  # rounding, or a tie
        scores = [
            path_score([(c.label, c.point, c.response) for c in path], WITHOUT_GAPS)
            for path in (here, there)
        ]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_a_response_floor_all_but_excludes_names_the_network_denies():
    """Two bodies; geometry fits L1 L2 and L2 L3 alike, the upper body is surely no L1."""
    upper, lower = (10.0, 0.0, 40.0), (10.0, 0.0, 4.0)
    candidates = [
        Centroid(20, upper, 0.001),
        Centroid(21, lower, 0.9),
        Centroid(21, upper, 0.3),
        Centroid(22, lower, 0.4),
    ]
    plain = ChainRule(threshold=0.0, weight=0.85, bias=0.0, neighbour_factor=0.0)
    assert [c.label for c in label_by_chain(candidates, plain)] == [20, 21]
    floored = structs.replace(plain, response_floor=0.005)
    assert [c.label for c in label_by_chain(candidates, floored)] == [21, 22]


def test_with_a_response_floor_a_sure_response_counts_as_without():
    """0.995 and a floor of 0.005 are a sum of 1, whose logarithm is 0."""
    (found,) = label_by_chain(
        [Centroid(20, (0.0, 0.0, 0.0), 0.995)], ChainRule(response_floor=0.005)
    )
    assert _worth(
        np.array([found.response, 0.0]), ChainRule(response_floor=0.005)
    ) == pytest.approx([1.0, 0.0])
