import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.scenes import L1, L2, L3, boxes
from verse_eval.metrics import label_distances, label_surfaces, surface_distances

UNIT = (1.0, 1.0, 1.0)


def mask(*voxels, shape=(5, 5, 5)):
    result = np.zeros(shape, bool)
    for voxel in voxels:
        result[voxel] = True
    return result


def test_two_voxels_three_apart():
    distances = surface_distances(mask((0, 0, 0)), mask((0, 0, 3)), UNIT)
    assert distances.hausdorff() == distances.hausdorff95() == distances.average_symmetric() == 3.0


def test_anisotropic_spacing_counts_along_its_axis():
    """One voxel on along z is 2.5 mm, along x 0.5 mm, along both √6.5 mm."""
    spacing = (2.5, 1.0, 0.5)
    start = mask((0, 0, 0))
    assert surface_distances(start, mask((1, 0, 0)), spacing).hausdorff() == 2.5
    assert surface_distances(start, mask((0, 0, 1)), spacing).hausdorff() == 0.5
    assert surface_distances(start, mask((1, 0, 1)), spacing).hausdorff() == math.sqrt(6.5)


def test_a_row_against_its_first_voxel():
    """A: x = 0 to 4 (all surface), B: x = 0. A to B: 0 1 2 3 4; B to A: 0.

    HD 4. 95th percentile of A to B: 3.8 (0.8 of the way from 3 to 4). ASSD: 10 mm / 6 voxels.
    """
    row = mask(*((0, 0, x) for x in range(5)))
    distances = surface_distances(row, mask((0, 0, 0)), UNIT)
    assert sorted(distances.to_prediction) == [0, 1, 2, 3, 4]
    assert list(distances.to_reference) == [0]
    assert distances.hausdorff() == 4
    assert distances.hausdorff95() == pytest.approx(3.8)
    assert distances.average_symmetric() == pytest.approx(10 / 6)


def test_inner_voxels_are_no_surface():
    """A solid 5×5×5 cube has 125 - 27 = 98 surface voxels. A hole of one voxel in its middle makes
    its six face neighbours surface, too, each 1 mm below the outer surface."""
    solid = np.ones((5, 5, 5), bool)
    assert len(label_surfaces(solid.astype(np.uint8) * L1, [L1], UNIT)[L1]) == 98
    hollow = solid.copy()
    hollow[2, 2, 2] = False
    distances = surface_distances(solid, hollow, UNIT)
    assert distances.to_prediction.max() == 0
    assert sorted(distances.to_reference) == [0] * 98 + [1] * 6


def test_empty_masks():
    """Two empty masks are identical: 0. Where one is empty no distance exists: nan in all three."""
    empty, full = mask(), mask((1, 1, 1))
    both = surface_distances(empty, empty, UNIT)
    assert both.hausdorff() == both.hausdorff95() == both.average_symmetric() == 0.0
    for one, other in ((empty, full), (full, empty)):
        distances = surface_distances(one, other, UNIT)
        values = (distances.hausdorff(), distances.hausdorff95(), distances.average_symmetric())
        assert np.isnan(values).all()


def test_touching_vertebrae_have_a_surface_towards_each_other():
    """L1 fills z 0-2, L2 z 3-5; a prediction that gives L1 one more layer has it 1 mm off there."""
    truth = boxes((6, 3, 3), {L1: ((0, 3), (0, 3), (0, 3)), L2: ((3, 6), (0, 3), (0, 3))})
    found = boxes((6, 3, 3), {L1: ((0, 4), (0, 3), (0, 3)), L2: ((4, 6), (0, 3), (0, 3))})
    distances = label_distances(truth, found, [L1, L2, L3], UNIT)
    assert distances[L1].hausdorff() == 1.0
    assert distances[L2].hausdorff() == 1.0
    assert distances[L3].hausdorff() == 0.0


def test_other_grids_are_refused():
    with pytest.raises(ValueError, match="one grid"):
        surface_distances(mask(), mask(shape=(5, 5, 6)), UNIT)


def brute_force(one, other, spacing):
    """All pairs of surface voxels: those with a face neighbour outside."""

    def surface(m):
        padded = np.pad(m, 1)
        inner = np.ones_like(m)
        for axis in range(3):
            for step in (-1, 1):
                inner &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
        return np.argwhere(m & ~inner) * spacing

    a, b = surface(one), surface(other)
    pairs = np.linalg.norm(a[:, None] - b[None], axis=2)
    return pairs.min(axis=1), pairs.min(axis=0)


BLOBS = hnp.arrays(np.uint8, (4, 5, 6), elements=st.sampled_from((0, L1, L1, L2)))


@settings(max_examples=60)
@given(BLOBS, BLOBS, st.sampled_from((UNIT, (3.0, 0.7, 1.3))))
def test_label_distances_are_those_of_all_pairs_of_surface_voxels(one, other, spacing):
    distances = label_distances(one, other, [L1, L2], spacing)
    for label in (L1, L2):
        if (one == label).any() and (other == label).any():
            forth, back = brute_force(one == label, other == label, spacing)
            np.testing.assert_allclose(np.sort(distances[label].to_prediction), np.sort(forth))
            np.testing.assert_allclose(np.sort(distances[label].to_reference), np.sort(back))
            assert distances[label].hausdorff() == pytest.approx(max(forth.max(), back.max()))
