import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.scenes import L1, L2, L3, boxes
from verse_eval.metrics import overlap_table
from verse_infer.anatomy import LABELS

SHAPE = (4, 4, 4)


def test_dice_of_two_boxes_that_share_four_of_their_eight_voxels():
    """A: 2×2×2 = 8 voxels, B: the same one voxel on, 8 voxels, 4 shared: 2·4/16."""
    one = boxes(SHAPE, {L1: ((0, 2), (0, 2), (0, 2))})
    other = boxes(SHAPE, {L1: ((1, 3), (0, 2), (0, 2))})
    assert overlap_table(one, other).dice(L1) == 0.5


def test_identical_masks_have_dice_1():
    one = boxes(SHAPE, {L1: ((0, 2), (0, 2), (0, 2)), L2: ((2, 4), (0, 2), (0, 2))})
    table = overlap_table(one, one)
    assert table.dice(L1) == table.dice(L2) == 1.0


def test_empty_against_empty_is_1_and_empty_against_full_is_0():
    """As the challenge's compute_dice with its empty_score of 1."""
    one = boxes(SHAPE, {L1: ((0, 2), (0, 2), (0, 2))})
    table = overlap_table(one, np.zeros_like(one))
    assert table.dice(L3) == 1.0
    assert table.dice(L1) == 0.0
    assert overlap_table(np.zeros_like(one), one).dice(L1) == 0.0


def test_touching_vertebrae_do_not_count_for_each_other():
    """L1 has 8 voxels, L2 below it 8; the prediction gives 4 of L2's to L1: 2·8/(8 + 12) and
    2·4/(8 + 4)."""
    one = boxes(SHAPE, {L1: ((0, 2), (0, 2), (0, 2)), L2: ((2, 4), (0, 2), (0, 2))})
    other = boxes(SHAPE, {L2: ((2, 4), (0, 2), (0, 2)), L1: ((0, 3), (0, 2), (0, 2))})
    table = overlap_table(one, other)
    assert table.dice(L1) == 16 / 20
    assert table.dice(L2) == 8 / 12
    assert table.voxels[L2, L1] == 4


def test_table_says_which_labels_either_side_has():
    one = boxes(SHAPE, {L1: ((0, 2), (0, 2), (0, 2))})
    other = boxes(SHAPE, {L3: ((0, 2), (0, 2), (0, 2))})
    table = overlap_table(one, other)
    assert table.in_reference() == {L1}
    assert table.in_prediction() == {L3}


def test_other_grids_are_refused():
    with pytest.raises(ValueError, match="one grid"):
        overlap_table(np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8))


LABEL_ARRAYS = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from((0, 0, *LABELS)))


@given(LABEL_ARRAYS, LABEL_ARRAYS)
def test_dice_agrees_with_the_challenges_formula_on_random_masks(one, other):
    """2|A∩B| / (|A| + |B|) of boolean masks, 1 where both are empty (eval_utilities.py)."""
    table = overlap_table(one, other)
    for label in LABELS:
        a, b = one == label, other == label
        total = int(a.sum()) + int(b.sum())
        assert table.dice(label) == (2 * int((a & b).sum()) / total if total else 1.0)
