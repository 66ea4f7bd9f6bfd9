import math

import pytest

from tests.helpers.scenes import L1, L2, L3, scan, vertebra
from verse_eval.summaries import pooled_scores, restrict, summarise
from verse_infer.anatomy import label_of

T11, T12, T13, L6 = (label_of(name) for name in ("T11", "T12", "T13", "L6"))


def of(scans, scope, name):
    return next(s for s in summarise(scans) if (s.scope, s.name) == (scope, name))


#: A whole hit, and a scan with one of two vertebrae identified.
TWO = (
    scan("a", vertebra(T12, dice=1.0), vertebra(L1, dice=0.8)),
    scan("b", vertebra(L1, dice=0.6), vertebra(L2, False, dice=0.0, distance_mm=33.0)),
)


def test_over_all_scans_the_mean_is_of_scan_means():
    """id.rate: (1 + 1/2)/2. Dice: (0.9 + 0.3)/2, SD of 0.9 and 0.3: 0.6/√2."""
    over_all = of(TWO, "all", "all")
    assert (over_all.scans, over_all.vertebrae) == (2, 4)
    assert over_all.measures["id_rate"].mean == 0.75
    dice = over_all.measures["dice"]
    assert (dice.scans, dice.mean, dice.median) == (2, pytest.approx(0.6), pytest.approx(0.6))
    assert dice.sd == pytest.approx(0.6 / math.sqrt(2))


def test_regions_take_their_vertebrae_of_every_scan():
    """Lumbar: scan a 0.8, scan b (0.6 + 0)/2 = 0.3."""
    assert of(TWO, "region", "lumbar").measures["dice"].mean == pytest.approx(0.55)
    thoracic = of(TWO, "region", "thoracic")
    assert (thoracic.scans, thoracic.vertebrae) == (1, 1)
    assert math.isnan(thoracic.measures["dice"].sd)


def test_single_vertebrae():
    assert of(TWO, "vertebra", "L1").measures["dice"].mean == pytest.approx(0.7)
    assert of(TWO, "vertebra", "L2").measures["id_rate"].mean == 0.0


def test_groups_without_scans_are_left_out():
    names = {(s.scope, s.name) for s in summarise(TWO)}
    assert ("region", "cervical") not in names
    assert ("vertebra", "C1") not in names
    assert ("field_of_view", "C/T (+C1)") not in names


def test_scans_are_grouped_by_view_and_by_rare_anatomy():
    scans = (*TWO, scan("c", vertebra(T13), vertebra(L1)), scan("d", vertebra(L6)))
    assert of(scans, "field_of_view", "T/L (-L5)").scans == 2  # a and c
    assert of(scans, "landmark", "sacrum").scans == 1
    assert of(scans, "transitional", "T13").scans == 1
    assert of(scans, "transitional", "L6").scans == 1
    assert of(scans, "transitional", "neither T13 nor L6").scans == 2


def test_glocker_counts_over_the_data_set_not_per_scan():
    """Scan a: 1 of 1. Scan b: 1 of 3. Per scan: 2/3; over the data set: 2/4."""
    scans = (
        scan("a", vertebra(L1)),
        scan("b", vertebra(L1), vertebra(L2, False), vertebra(L3, False)),
    )
    assert of(scans, "all", "all").measures["id_rate"].mean == pytest.approx(2 / 3)
    assert of(scans, "all", "all").pooled["id_rate_glocker"] == 0.5


def test_missing_and_extra_are_counted():
    nan = math.nan
    lost = vertebra(L2, False, distance_mm=nan, dice=0.0, hd_mm=nan, assigned=None)
    pooled = pooled_scores(
        [scan("a", vertebra(L1), lost, extra=(L3,), extra_in_mask=(L3, T12)), scan("b", lost)]
    )
    assert (pooled["missing"], pooled["missing_in_mask"]) == (2, 2)
    assert (pooled["extra"], pooled["extra_in_mask"]) == (1, 2)


def test_label_accuracy_is_of_all_kappa_of_the_matched():
    """L1 right, L2 named L3, L3 not found: 1 of 3; kappa of (L1, L1), (L2, L3):
    observed 1/2, expected over the four pairings |0 0|, |0 2|, |1 0|, |1 2|: (0+2+1+1)/4 = 1."""
    pooled = pooled_scores(
        [scan("a", vertebra(L1), vertebra(L2, assigned=L3), vertebra(L3, assigned=None))]
    )
    assert pooled["label_accuracy"] == pytest.approx(1 / 3)
    assert pooled["kappa"] == pytest.approx(0.5)


def test_completeness():
    """Whole: 2 found, 1 not. Cut: 1 reported, 1 left out. Right: 2 + 1 of 5; over two scans one
    false positive and one false negative."""
    pooled = pooled_scores(
        [
            scan("a", vertebra(L1), vertebra(L2, assigned=None), cut=(T12,), cut_reported=(T12,)),
            scan("b", vertebra(L1), cut=(T12,)),
        ]
    )
    assert pooled["completeness_accuracy"] == 0.6
    assert pooled["completeness_false_positives"] == 0.5
    assert pooled["completeness_false_negatives"] == 0.5
    assert pooled["cut_vertebrae"] == 2


def test_shifted_and_right_scans_are_counted():
    wrong = [vertebra(L1, False, assigned=L2), vertebra(L2, False, assigned=L3)]
    pooled = pooled_scores(
        [
            scan("down", *wrong),
            scan("up", vertebra(L1, False, assigned=T12)),
            scan("right", vertebra(L1)),
            scan("extra", vertebra(L1), extra=(L2,)),
        ]
    )
    assert (pooled["shifted_down"], pooled["shifted_up"]) == (1, 1)
    assert pooled["all_identified_rate"] == 0.5
    assert pooled["all_right_rate"] == 0.25


def test_restriction_keeps_a_scans_other_facts():
    one = scan("a", vertebra(L1), vertebra(T12), extra=(L2, T11), cut=(T11,), problem="x")
    part = restrict(one, [T11, T12])
    assert (part.labels, part.extra, part.cut, part.problem) == ((T12,), (T11,), (T11,), "x")


def test_no_scans_give_no_values_and_no_warning():
    assert math.isnan(pooled_scores([])["kappa"])
    assert summarise([])[0].scans == 0
