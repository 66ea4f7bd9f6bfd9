import numpy as np
import pytest

from verse_infer.grid import Lattice
from verse_infer.labelling import ChainRule, label_by_chain
from verse_infer.labelling.bodies import BodyCandidates, find_body_candidates
from verse_infer.landmarks import Heatmaps, find_candidates

LATTICE = Lattice((0.0, 0.0, 0.0), (2.0, 2.0, 2.0), (12, 12, 80))
RULE = BodyCandidates()
CHAIN = ChainRule(threshold=0.0, weight=0.85, bias=0.25, neighbour_factor=0.0, response_floor=0.005)


def gaussian(z_mm, height, sigma_mm=4.0):
    z, y, x = np.ogrid[:80, :12, :12]
    squares = (2.0 * z - z_mm) ** 2 + (2.0 * y - 11.0) ** 2 + (2.0 * x - 11.0) ** 2
    return height * np.exp(-squares / (2 * sigma_mm**2))


def heatmaps(channels):
    """By label, a list of (z in mm, height)."""
    values = [sum(gaussian(z, h) for z, h in spots) for spots in channels.values()]
    return Heatmaps(np.stack(values, axis=-1).astype(np.float32), tuple(channels), LATTICE)


def test_every_body_is_a_candidate_for_every_vertebra_with_its_own_response():
    maps = heatmaps({20: [(120.0, 0.6), (84.0, 0.1)], 21: [(120.0, 0.2), (84.0, 0.7)]})
    found = find_body_candidates(maps, 3, RULE)
    assert sorted((c.label, round(c.point[2])) for c in found) == [
        (20, 84),
        (20, 120),
        (21, 84),
        (21, 120),
    ]
    response = {(c.label, round(c.point[2])): c.response for c in found}
    assert response[20, 120] == pytest.approx(0.6, abs=0.05)
    assert response[21, 120] == pytest.approx(0.2, abs=0.02)
    assert response[20, 84] == pytest.approx(0.1, abs=0.02)


def test_maxima_between_bodies_do_not_become_centroids():
    """Heatmaps of neighbours that overlap: one name has its maximum between two bodies."""
    channels = {
        20: [(130.0, 0.45), (122.0, 0.0)],
        21: [(130.0, 0.3), (123.0, 0.35), (94.0, 0.3)],
        22: [(94.0, 0.45), (58.0, 0.2)],
        23: [(58.0, 0.6)],
    }
    maps = heatmaps(channels)
    alone = {c.label: c.point[2] for c in find_candidates(maps, 0.25, 3) if c.label == 21}
    assert 122.0 < alone[21] < 128.0 or alone[21] == pytest.approx(94.0, abs=1)
    labelled = label_by_chain(find_body_candidates(maps, 3, RULE), CHAIN)
    assert [c.label for c in labelled] == [20, 22, 23] or [c.label for c in labelled] == [
        21,
        22,
        23,
    ]
    bodies = np.array([130.0, 94.0, 58.0])
    assert all(np.abs(bodies - c.point[2]).min() < 4.0 for c in labelled)


def test_a_vertebra_that_the_sum_swallows_is_a_candidate_by_its_own_heatmap():
    channels = {3: [(100.0, 0.9)], 4: [(86.0, 0.3)], 5: [(76.0, 0.5)]}
    wide = Heatmaps(
        np.stack(
            [sum(gaussian(z, h, 7.0) for z, h in spots) for spots in channels.values()], axis=-1
        ).astype(np.float32),
        tuple(channels),
        LATTICE,
    )
    total = Heatmaps(wide.values.sum(-1, keepdims=True), (0,), LATTICE)
    assert all(abs(c.point[2] - 86.0) > 4 for c in find_candidates(total, 0.3, 3))
    lone = [
        c
        for c in find_body_candidates(wide, 3, BodyCandidates(lone_distance_mm=4.0))
        if c.label == 4
    ]
    assert min(abs(c.point[2] - 86.0) for c in lone) < 1.0


def test_where_nothing_is_above_the_threshold_nothing_is_found():
    assert find_body_candidates(heatmaps({20: [(100.0, 0.2)]}), 3, RULE) == ()


def test_one_body_that_two_tiles_place_differently_is_one_candidate():
    values = np.stack([gaussian(100.0, 0.8, 2.5), gaussian(91.0, 0.9, 2.5)], axis=-1)
    maps = Heatmaps(values.astype(np.float32), (20, 21), LATTICE)
    for distance, bodies in ((10.0, 1), (5.0, 2)):
        rule = BodyCandidates(body_distance_mm=distance, lone_distance_mm=12.0)
        assert len({c.point for c in find_body_candidates(maps, 3, rule)}) == bodies


@pytest.mark.parametrize(
    ("heights", "share", "found"),
    [
        ((0.22, 0.2, 0.24, 0.21), 0.6, 4),  # a faint spine
        ((0.22, 0.2, 0.24, 0.21), 0.0, 0),
        ((0.22, 0.2), 0.6, 0),  # two maxima beside one
        ((0.8, 0.7, 0.22, 0.75), 0.6, 3),  # one maximum beside a sure spine
        ((0.22, 0.2, 0.24, 0.14), 0.6, 3),  # below half the threshold
    ],
)
def test_bodies_may_be_faint_where_all_of_them_are(heights, share, found):
    spots = [(20.0 + 36.0 * place, height) for place, height in enumerate(heights)]
    rule = BodyCandidates(faint_share=share, faint_total=0.5)
    assert len(find_body_candidates(heatmaps({20: spots}), 3, rule)) == found


@pytest.mark.parametrize(
    ("heights", "found"),
    [
        ((0.35, 0.38), 0),  # two maxima in an arm
        ((0.35, 0.45), 2),  # one of them is sure
        ((0.35, 0.38, 0.36), 3),  # a spine that the network is unsure of
    ],
)
def test_a_few_faint_bodies_without_a_sure_one_do_not_count(heights, found):
    spots = [(20.0 + 36.0 * place, height) for place, height in enumerate(heights)]
    rule = BodyCandidates(threshold=0.3, sure_threshold=0.4, faint_total=0.9)
    assert len(find_body_candidates(heatmaps({20: spots}), 3, rule)) == found
