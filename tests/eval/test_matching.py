import numpy as np

from tests.helpers.scenes import L1, L2, L3, boxes, centroids
from verse_eval.metrics import match_by_distance, match_by_overlap, match_vertebrae, overlap_table

SHAPE = (12, 3, 3)


def stack(**tops):
    """Boxes of 3×3×3 voxels; keywords: name and first z."""
    labels = {"L1": L1, "L2": L2, "L3": L3}
    return boxes(SHAPE, {labels[k]: ((z, z + 3), (0, 3), (0, 3)) for k, z in tops.items()})


def test_vertebrae_that_overlap_most_belong_together_whatever_their_names():
    table = overlap_table(stack(L1=6, L2=3), stack(L2=6, L3=3))
    assert match_by_overlap(table) == {L1: L2, L2: L3}


def test_a_mask_that_leaks_into_a_neighbour_does_not_stand_for_it():
    """The predicted L1 covers all of L1 and a layer of L2, of which nothing else was found."""
    leaking = stack(L1=6)
    leaking[5] = L1
    assert match_by_overlap(overlap_table(stack(L1=6, L2=3), leaking)) == {L1: L1}


def test_nothing_overlaps_nothing():
    empty = np.zeros(SHAPE, np.uint8)
    assert match_by_overlap(overlap_table(stack(L1=6), empty)) == {}
    assert match_by_overlap(overlap_table(empty, empty)) == {}


def test_centroids_belong_together_that_are_nearest_to_each_other_within_20_mm():
    truth = centroids(L1=0, L2=-30, L3=-60)
    assert match_by_distance(truth, centroids(L2=1, L3=-32)) == {L1: L2, L2: L3}
    assert match_by_distance(truth, centroids(L3=-80)) == {L3: L3}
    assert match_by_distance(truth, centroids(L3=-80.1)) == {}
    assert match_by_distance(truth, ()) == match_by_distance((), truth) == {}


def test_without_masks_centroids_decide():
    truth = centroids(L1=0, L2=-30)
    assert match_vertebrae(None, truth, centroids(L2=0, L3=-30)) == {L1: L2, L2: L3}


def test_vertebrae_without_a_mask_are_matched_by_their_centroids():
    """L1 has voxels and is matched by them; L3, a centroid only, by its place."""
    table = overlap_table(stack(L1=6), stack(L1=6))
    truth, found = centroids(L1=7, L3=-60), centroids(L1=7, L2=-61)
    assert match_vertebrae(table, truth, found) == {L1: L1, L3: L2}
