"""Whole and cut vertebrae, drawn as boxes with a thin process."""

import numpy as np
import pytest

from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_infer.segmentation import incomplete

GRID = Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 2.0), (60, 60, 50))


def scan(*boxes):
    """Mask and centroids of {label: (first plane, last plane)}; a process hangs `tail` planes lower."""
    mask = np.zeros(GRID.shape, np.uint8)
    centroids = []
    for label, first, last, tail in boxes:
        mask[max(first, 0) : max(last, 0), 10:40, 10:40] = label
        mask[max(first - tail, 0) : max(last, 0), 45:50, 22:26] = label
        centroids.append(Centroid(label, (25.0, 25.0, 2.0 * (first + last - 1) / 2)))
    return mask, centroids


def cut(*boxes):
    mask, centroids = scan(*boxes)
    return [c.label for c in incomplete(mask, GRID, centroids)]


def test_a_vertebra_inside_is_whole_and_one_over_the_end_is_cut():
    assert cut((20, 10, 20, 3)) == []
    assert cut((19, 43, 53, 3), (20, 25, 35, 3)) == [19]
    assert cut((20, -3, 9, 0), (19, 20, 30, 0)) == [20]


def test_the_tip_of_a_process_in_the_last_plane_cuts_nothing():
    assert cut((20, 6, 16, 8)) == []


@pytest.mark.parametrize(("first", "expected"), [(1, [20]), (4, [])])
def test_a_body_whose_middle_is_almost_at_the_end_is_cut_whatever_its_mask(first, expected):
    mask, centroids = scan((20, first, first + 4, 0))
    mask[0] = 0
    assert [c.label for c in incomplete(mask, GRID, centroids)] == expected


def test_without_a_mask_the_place_alone_decides():
    nothing = np.zeros(GRID.shape, np.uint8)
    centroids = [Centroid(19, (25.0, 25.0, 95.0)), Centroid(20, (25.0, 25.0, 60.0))]
    assert [c.label for c in incomplete(nothing, GRID, centroids)] == [19]
