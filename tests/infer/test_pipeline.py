from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.fake_networks import STAGE_WEIGHTS
from tests.helpers.marked_ct import GRID, LEVELS, marked_ct, networks
from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.flags import FlagCode
from verse_infer.labelling import ChainRule, SequenceRule
from verse_infer.pipeline import (
    Pipeline,
    PipelineOptions,
    end_margin,
    labelling_rule,
)


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
    weights = STAGE_WEIGHTS["vertebra_localisation"]
    own = replace(weights, options={**weights.options, "end_margin_mm": 0.0})
    assert [end_margin(weights, None), end_margin(own, None)] == [10.0, 0.0]
    assert [end_margin(weights, 0.0), end_margin(own, 3.0)] == [0.0, 3.0]


def test_given_centroids_replace_the_first_two_stages():
    given = [Centroid(7, LEVELS["L1"]), Centroid(8, (0.0, 0.0, 900.0))]
    result = Pipeline(networks()).run(marked_ct(), given)
    assert [c.label for c in result.centroids] == [7]
    assert set(np.unique(result.mask)) == {0, 7}
    flags = {flag.code: flag.value for flag in result.flags}
    assert flags[FlagCode.CENTROIDS_OUTSIDE] == 1
    assert list(result.seconds) == ["vertebra segmentation"]


def test_the_users_rule_wins_over_the_weights():
    weights = STAGE_WEIGHTS["vertebra_localisation"]
    assert labelling_rule(weights, None) == ChainRule()
    assert labelling_rule(weights, "sequence") == SequenceRule()
