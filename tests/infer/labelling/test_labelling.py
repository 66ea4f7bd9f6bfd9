"""What both labelling rules share: the choice of the rule and the scan's ends."""

import pytest

from verse_infer.ct import Centroid
from verse_infer.labelling import ChainRule, SequenceRule, drop_near_ends, label_candidates


def test_the_kind_of_rule_chooses_the_method():
    """A weak candidate (0.1) is a vertebra to the chain (> 0.05), not to the sequence (> 0.25)."""
    weak = [Centroid(20, (0.0, 0.0, 50.0), 0.1)]
    assert label_candidates(weak, (0.0, 100.0), ChainRule()) == tuple(weak)
    assert label_candidates(weak, (0.0, 100.0), SequenceRule()) == ()


def test_thresholds_come_from_the_rule():
    weak = [Centroid(20, (0.0, 0.0, 50.0), 0.1)]
    assert label_candidates(weak, (0.0, 100.0), ChainRule(threshold=0.2)) == ()
    assert label_candidates(weak, (0.0, 100.0), SequenceRule(threshold=0.05)) == tuple(weak)


@pytest.mark.parametrize(("z", "kept"), [(9.9, False), (10, True), (90, True), (90.1, False)])
def test_centroids_within_10_mm_of_bottom_or_top_are_dropped(z, kept):
    centroid = Centroid(20, (0.0, 0.0, float(z)), 0.9)
    assert drop_near_ends([centroid], (0.0, 100.0), 10.0) == ((centroid,) if kept else ())


def test_the_margin_can_be_chosen_and_the_order_stays():
    centroids = tuple(Centroid(label, (0.0, 0.0, z), 0.9) for label, z in ((20, 95.0), (21, 60.0)))
    assert drop_near_ends(centroids, (0.0, 100.0), margin_mm=0) == centroids
    assert drop_near_ends(centroids, (0.0, 100.0), margin_mm=6) == centroids[1:]
