from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.fake_networks import network_with
from tests.helpers.marked_ct import GRID, LEVELS, marked_ct, networks
from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.flags import FlagCode
from verse_infer.labelling import ChainRule, Labelling, SequenceRule
from verse_infer.pipeline import Pipeline, PipelineOptions

LOCALISATION = "vertebra_localisation"


def test_a_scan_goes_through_all_stages():
    result = Pipeline(networks()).run(marked_ct())
    assert [c.label for c in result.centroids] == [label_of(name) for name in LEVELS]
    for centroid, point in zip(result.centroids, LEVELS.values(), strict=True):
        assert centroid.point == pytest.approx(point, abs=1.5)
        i, j, k = np.rint(GRID.index(point)).astype(int)
        assert result.mask[k, j, i] == centroid.label
    assert set(result.seconds) == {
        "spine localisation",
        "vertebra localisation",
        "vertebra segmentation",
    }
    assert result.flags == ()


def test_no_spine_is_a_clean_result_with_a_flag():
    result = Pipeline(networks(np.zeros_like)).run(marked_ct())
    assert result.centroids == ()
    assert not result.mask.any()
    assert [flag.code for flag in result.flags] == [FlagCode.NO_SPINE]


def test_vertebrae_near_the_ends_are_dropped_by_the_margin():
    narrow = PipelineOptions(end_margin_mm=45.0)
    assert [c.label for c in Pipeline(networks(), narrow).run(marked_ct()).centroids] == [
        label_of("L1"),
        label_of("L2"),
    ]


def test_the_users_margin_wins_over_the_weights():
    def found(weights_margin, users_margin):
        found = networks()
        stages = {**found.stages}
        stages[LOCALISATION] = network_with(found[LOCALISATION], end_margin_mm=weights_margin)
        options = PipelineOptions(end_margin_mm=users_margin)
        return len(Pipeline(replace(found, stages=stages), options).run(marked_ct()).centroids)

    assert [found(10.0, None), found(45.0, None)] == [3, 2]
    assert [found(45.0, 0.0), found(0.0, 45.0)] == [3, 2]


def test_given_centroids_replace_the_first_two_stages():
    given = [Centroid(7, LEVELS["L1"]), Centroid(8, (0.0, 0.0, 900.0))]
    result = Pipeline(networks()).run(marked_ct(), given)
    assert [c.label for c in result.centroids] == [7]
    assert set(np.unique(result.mask)) == {0, 7}
    flags = {flag.code: flag.value for flag in result.flags}
    assert flags[FlagCode.CENTROIDS_OUTSIDE] == 1
    assert list(result.seconds) == ["vertebra segmentation"]


def test_the_users_rule_wins_over_the_weights():
    own = Labelling(rule="chain", chain=ChainRule(bias=1.0), sequence=SequenceRule(threshold=0.5))
    assert own.chosen() == own.chosen("chain") == ChainRule(bias=1.0)
    assert own.chosen("sequence") == SequenceRule(threshold=0.5)
    assert Labelling(rule="sequence").chosen() == SequenceRule()
