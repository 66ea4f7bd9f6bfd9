from dataclasses import replace

import numpy as np
import pytest

from verse_infer.anatomy import LABELS, label_of
from verse_infer.centroids import Centroid
from verse_infer.ct import Ct
from verse_infer.geometry.lattice import Lattice
from verse_infer.labelling import ChainRule, SequenceRule
from verse_infer.pipeline import (
    NO_SPINE,
    Pipeline,
    PipelineOptions,
    end_margin,
    labelling_rule,
)

from .fakes import STAGE_WEIGHTS, fake_networks

GRID = Lattice((-60.0, -60.0, 0.0), (2.0, 2.0, 2.0), (60, 60, 90))
LEVELS = {"T12": (0.0, 0.0, 140.0), "L1": (0.0, 2.0, 108.0), "L2": (1.0, 4.0, 74.0)}


def marked_ct():
    """A CT in which every vertebra is a bright ball whose HU tells its level."""
    # As measured air is: constant planes would count as padding.
    hu = np.random.default_rng(0).integers(-1001, -998, GRID.shape).astype(np.int16)
    k, j, i = np.indices(GRID.shape)
    points = GRID.point(np.stack([i, j, k], axis=-1))
    for number, point in enumerate(LEVELS.values()):
        hu[np.linalg.norm(points - point, axis=-1) < 8] = 500 * (number + 1)
    return Ct(hu, GRID)


def heat_from_hu(image):
    """One heatmap per level: near 1 in the middle of the balls of that level's HU."""
    import scipy.ndimage

    out = np.zeros((*image.shape[:3], len(LABELS)), np.float32)
    for number, name in enumerate(LEVELS):
        own = np.abs(image[..., 0] * 2048 - 500 * (number + 1)) < 100
        out[..., LABELS.index(label_of(name))] = scipy.ndimage.gaussian_filter(
            own.astype(np.float32), 2.0
        )
    return out / max(out.max(), 1e-6)


def networks(spine=lambda image: (image > -0.2).astype(float)):
    return fake_networks(
        spine_localisation=spine,
        vertebra_localisation=heat_from_hu,
        vertebra_segmentation=lambda image: (image[..., :1] > 0).astype(float),
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
    assert result.flags == (NO_SPINE,)


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
    assert any("outside" in flag for flag in result.flags)
    assert list(result.seconds) == ["vertebra segmentation"]


def test_the_users_rule_wins_over_the_weights():
    weights = STAGE_WEIGHTS["vertebra_localisation"]
    assert labelling_rule(weights, None) == ChainRule()
    assert labelling_rule(weights, "sequence") == SequenceRule()
