"""What each year's manifest says, and the labelling its rule gives for hand-made candidates."""

import msgspec
import pytest
from msgspec import structs

from verse_infer.anatomy import MEAN_OFFSETS_MM, label_of, name_of
from verse_infer.ct import Centroid
from verse_infer.labelling import ChainRule, SequenceRule, label_candidates
from verse_infer.weights import STAGES, ModelFolder
from verse_train.published.entries import stage_entry

WIDE = (-1000.0, 1000.0)  # no candidate is near an end
both_years = pytest.mark.parametrize("year", [2019, 2020])


def entry(year, stage):
    return stage_entry(year, stage)[0]


def rule_of(year):
    return entry(year, "vertebra_localisation").options.labelling.chosen()


def label(year, candidates, z_range=WIDE):
    return label_candidates(candidates, z_range, rule_of(year))


def names(path):
    return [name_of(centroid.label) for centroid in path]


def at(name, z, response=0.9, y=0.0):
    return Centroid(label_of(name), (0.0, y, float(z)), response)


def spine(*vertebrae, response=0.9):
    """These vertebrae at their mean offsets, the first at the origin."""
    found = [at(vertebrae[0], 0, response)]
    for name in vertebrae[1:]:
        step = MEAN_OFFSETS_MM[found[-1].label, label_of(name)]
        point = tuple(a + b for a, b in zip(found[-1].point, step, strict=True))
        found.append(Centroid(label_of(name), point, response))
    return found


@both_years
def test_lattices_and_intensities_are_the_papers_with_the_published_smoothing(year):
    entries = [entry(year, stage) for stage in STAGES]
    assert [e.spacing_mm for e in entries] == [8.0, 2.0, 1.0]
    assert [e.input_size for e in entries] == [(64, 64, 128), (96, 96, 128), (128, 128, 96)]
    assert [e.smoothing_mm for e in entries] == [3.0, 0.75, 0.75]
    assert {e.intensity_divisor for e in entries} == {2048.0}
    assert [stage_entry(year, stage)[1] for stage in STAGES] == ["as is", "as is", "sigmoid"]


def test_thresholds_margins_and_channels_differ_between_the_years():
    first, second = (entry(year, "vertebra_localisation") for year in (2019, 2020))
    assert first.threshold == pytest.approx(0.025)  # secondary maxima; the rule asks for 0.25
    assert second.threshold == 0.05
    assert (len(first.labels), len(second.labels)) == (25, 26)
    assert first.labels == tuple(range(1, 26))
    assert second.labels == (*range(1, 26), 28)
    assert (first.options.end_margin_mm, second.options.end_margin_mm) == (0.0, 10.0)


@both_years
def test_an_entry_survives_json(year):
    for stage in STAGES:
        given = structs.replace(entry(year, stage), models=(ModelFolder("m", "0" * 64),))
        assert msgspec.json.decode(msgspec.json.encode(given), type=type(given)) == given


def test_the_rule_of_2019_has_the_published_numbers():
    rule = rule_of(2019)
    assert isinstance(rule, SequenceRule)
    assert (rule.threshold, rule.secondary_factor, rule.end_threshold) == (0.25, 0.1, 0.5)
    assert (rule.end_margin_mm, rule.min_distance_mm, rule.max_distance_mm) == (30.0, 12.5, 50.0)
    assert (rule.min_append_mm, rule.max_append_mm) == (15.0, 35.0)
    assert not rule.with_variants


def test_the_rule_of_2020_has_the_published_numbers_and_no_limits():
    rule = rule_of(2020)
    assert isinstance(rule, ChainRule)
    assert (rule.threshold, rule.weight, rule.bias, rule.neighbour_factor) == (0.05, 0.2, 2.0, 0.1)
    assert (rule.max_missing, rule.min_distance_mm) == (0, 0.0)
    assert rule.max_deviation > 1e5
    assert rule.max_gap_deviation > 1e5


@both_years
@pytest.mark.parametrize(
    "vertebrae",
    [
        ("C1", "C2", "C3", "C4"),
        ("C6", "C7", "T1", "T2"),
        ("T11", "T12", "L1", "L2"),
        ("L2", "L3", "L4", "L5", "L6"),
        ("L2", "L3", "L4", "L5"),
    ],
)
def test_clear_candidates_come_back_head_to_foot(year, vertebrae):
    clear = spine(*vertebrae)
    assert label(year, clear[::-1]) == tuple(clear)


def test_2019_takes_the_strongest_near_the_ends_as_first_and_last():
    """Top at 85 mm: T12 (0.9) beats T11 (0.6); T11 is no 15 mm above, so it is not appended.

    Bottom at -45: L3 (0.8) beats L4 (0.55), which lies 20 mm below and is appended.
    """
    candidates = [
        at("T11", 74, 0.6),
        at("T12", 60, 0.9),
        at("L1", 30, 0.7),
        at("L2", 0, 0.7),
        at("L3", -20, 0.8),
        at("L4", -40, 0.55),
    ]
    assert names(label(2019, candidates, (-45, 85))) == ["T12", "L1", "L2", "L3", "L4"]


def test_2019_fills_a_gap_by_a_secondary_maximum_and_skips_a_silent_vertebra():
    """L2's largest maximum lies above L1; its second of 0.03 > 0.025 fits. T12 does not show."""
    candidates = [at("L1", 60), at("L2", 90, 0.6), at("L2", 30, 0.03), at("L3", 0)]
    assert names(label(2019, candidates)) == ["L1", "L2", "L3"]
    weaker = [at("L1", 40), at("L2", 70, 0.6), at("L2", 20, 0.02), at("L3", 0)]
    assert names(label(2019, weaker)) == ["L1", "L3"]


def test_2019_knows_no_missing_t12():
    """Without T12 the run of heatmaps breaks: L1 and L2 are the longest, T11 is no neighbour."""
    candidates = [at("T11", 60), at("L1", 30), at("L2", 0)]
    assert names(label(2019, candidates)) == ["L1", "L2"]


def test_2019_sees_nothing_in_weak_heatmaps():
    assert label(2019, spine("L1", "L2", "L3", response=0.25)) == ()


@pytest.mark.parametrize(
    "vertebrae", [("T10", "T11", "L1", "L2"), ("T11", "T12", "T13", "L1"), ("L4", "L5", "L6")]
)
def test_2020_knows_the_variants(vertebrae):
    clear = spine(*vertebrae, response=0.06)
    assert label(2020, clear) == tuple(clear)


def test_2020_borrows_the_maximum_of_a_neighbour_with_a_tenth():
    l1, l2, l3 = spine("L1", "L2", "L3")
    confused = Centroid(label_of("L3"), l2.point, 0.8)
    found = label(2020, [l1, confused, l3])
    assert names(found) == ["L1", "L2", "L3"]
    assert found[1].point == l2.point
    assert found[1].response == pytest.approx(0.08)


def test_2020_joins_a_step_that_deviates_by_more_than_its_length():
    """Deviation 1.2: P = 0.8 (1 - 2 · 1.44) = -1.50, and b + λh = 2.18 outweighs it.

    At 2.0, P = -5.6, it does not. The chain's own limit of 1 would forbid the first, too.
    """
    l4, l5 = (label_of(name) for name in ("L4", "L5"))
    first = Centroid(l4, (0.0, 0.0, 0.0), 0.9)
    for share, count in ((2.2, 2), (3.0, 1)):
        step = tuple(share * v for v in MEAN_OFFSETS_MM[l4, l5])
        candidates = [first, Centroid(l5, step, 0.9)]
        assert len(label(2020, candidates)) == count
        assert len(label_candidates(candidates, WIDE, ChainRule(max_missing=0))) == 1


def test_2020_names_an_end_twice_where_the_next_heatmap_echoes():
    """The published formula's own weakness; see ChainRule for the limits against it."""
    clear = spine("L1", "L2", "L3")
    x, y, z = clear[-1].point
    echo = Centroid(label_of("L4"), (x, y, z - 2), 0.1)
    assert label(2020, [*clear, echo]) == (*clear, echo)


def test_2020_has_no_step_over_a_silent_vertebra():
    """Without T6, those above it are named one level too low, by maxima borrowed from below."""
    t4, t5, _, t7, t8, t9 = spine("T4", "T5", "T6", "T7", "T8", "T9")
    assert names(label(2020, [t4, t5, t7, t8, t9])) == ["T5", "T6", "T7", "T8", "T9"]
