import numpy as np
import pytest

from tests.helpers.scenes import L1, L2, boxes, label_map, lattice_of
from verse_eval.grids import LabelMap, evaluation_lattice, on_common_grid
from verse_infer.grid import Lattice


def test_a_grid_of_1_mm_stays_itself():
    lattice = lattice_of((30, 40, 50))
    assert evaluation_lattice(lattice) is lattice


def test_size_is_that_of_the_field_of_view_in_mm():
    """100 voxels of 0.7 mm and 61 of 2.5 mm: 70 mm and 152.5 mm (rounded to even)."""
    lattice = evaluation_lattice(Lattice((5.0, 6.0, 7.0), (0.7, 0.7, 2.5), (100, 100, 61)))
    assert lattice.size == (70, 70, 152)
    assert lattice.spacing == (1.0, 1.0, 1.0)


def test_the_middle_keeps_its_place():
    source = Lattice((5.0, 6.0, 7.0), (0.5, 2.0, 3.0), (101, 11, 21))
    lattice = evaluation_lattice(source)
    np.testing.assert_allclose(source.point((50, 5, 10)), lattice.point((24, 10, 31)))


def test_labels_on_a_1_mm_grid_are_kept_voxel_by_voxel():
    labels = boxes((9, 8, 7), {L1: ((1, 3), (2, 4), (3, 6)), L2: ((5, 8), (2, 4), (3, 6))})
    one = label_map(labels)
    (result,) = on_common_grid([one], evaluation_lattice(one.lattice))
    for label in (L1, L2):
        assert (result == label).sum() == (labels == label).sum()


def test_a_2_mm_voxel_becomes_eight():
    labels = boxes((6, 6, 6), {L1: ((2, 3), (2, 3), (2, 3))})
    one = label_map(labels, (2.0, 2.0, 2.0))
    (result,) = on_common_grid([one], evaluation_lattice(one.lattice))
    assert (result == L1).sum() == 8


def test_only_the_labelled_part_is_sampled():
    labels = boxes((200, 200, 200), {L1: ((90, 100), (90, 100), (90, 100))})
    (result,) = on_common_grid([label_map(labels)], lattice_of(labels.shape))
    assert result.size < 20**3


def test_nothing_labelled_gives_one_empty_voxel():
    empty = label_map(np.zeros((5, 5, 5)))
    one, other = on_common_grid([empty, empty], empty.lattice)
    assert one.shape == other.shape == (1, 1, 1)
    assert not one.any()


def test_a_prediction_on_another_grid_is_compared_in_space():
    """The same box on a grid of 0.5 mm, turned by 90° about z and shifted."""
    truth = label_map(boxes((20, 20, 20), {L1: ((5, 11), (5, 11), (5, 11))}))
    # Index x runs along +y, index y along -x. Voxel edges lie at 4.5 and 10.5 mm.
    fine = boxes((40, 40, 40), {L1: ((10, 22), (10, 22), (10, 22))})
    turned = Lattice(
        (15.25, -0.25, -0.25), (0.5, 0.5, 0.5), (40, 40, 40), (0, -1, 0, 1, 0, 0, 0, 0, 1)
    )
    reference, found = on_common_grid([truth, LabelMap(fine, turned)], truth.lattice)
    assert (reference == L1).sum() == 216
    np.testing.assert_array_equal(reference, found)


@pytest.mark.parametrize("shift", [0, 40])
def test_a_prediction_outside_the_references_field_of_view_does_not_count(shift):
    truth = label_map(boxes((20, 20, 20), {L1: ((5, 11), (5, 11), (5, 11))}))
    found = LabelMap(truth.labels, Lattice((float(shift), 0.0, 0.0), (1.0, 1.0, 1.0), (20, 20, 20)))
    _, result = on_common_grid([truth, found], truth.lattice)
    assert (result == L1).sum() == (0 if shift else 216)
