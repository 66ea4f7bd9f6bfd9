import numpy as np
import pytest

from verse_infer.grid import Lattice
from verse_train.synthetic.boxes import axes_mm, box_between

LATTICE = Lattice((-10.0, 5.0, 100.0), (1.0, 2.0, 3.0), (8, 6, 5))


def test_a_box_holds_its_corners_and_its_points_are_those_of_its_voxels():
    box, points = box_between(LATTICE, np.array([-7.5, 8.0, 104.0]), np.array([-5.5, 9.5, 107.0]))
    assert box == (slice(1, 4), slice(1, 4), slice(2, 6))
    assert points.shape == (3, 3, 4, 3)
    assert points[0, 0, 0].tolist() == [-8.0, 7.0, 103.0]
    assert points[1, 0, 2].tolist() == [-6.0, 7.0, 106.0]
    assert np.zeros(LATTICE.shape)[box].shape == points.shape[:3]


@pytest.mark.parametrize("away", [-1000.0, 1000.0])
def test_beside_the_lattice_a_box_is_empty(away):
    box, points = box_between(LATTICE, np.full(3, away), np.full(3, away + 5))
    assert np.zeros(LATTICE.shape)[box].size == points.size == 0


def test_axes_are_the_voxel_centres():
    x, y, z = axes_mm(LATTICE)
    assert (x[0], y[1], z[-1]) == (-10.0, 7.0, 112.0)
    assert [len(axis) for axis in (x, y, z)] == list(LATTICE.size)
