from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verse_infer.anatomy import MEAN_OFFSETS_MM, label_of
from verse_train.synthetic.spine_curve import REGULAR, column_of, pose_spine, random_kind

SEEDS = st.integers(0, 10_000)


def test_the_regular_column_has_24_vertebrae():
    assert len(REGULAR) == 24
    assert (REGULAR[0], REGULAR[7], REGULAR[-1]) == ("C1", "T1", "L5")


def test_four_columns_in_ten_are_variants():
    columns = [column_of(random_kind(np.random.default_rng(seed))) for seed in range(500)]
    kinds = Counter(columns)
    assert kinds[REGULAR] == pytest.approx(300, abs=40)
    others = [set(REGULAR) ^ set(column) for column in kinds if column != REGULAR]
    assert sorted(others, key=str) == sorted([{"L6"}, {"T13"}, {"T12"}, {"L5"}], key=str)
    for column in kinds:  # every step has a mean offset
        assert all((label_of(a), label_of(b)) in MEAN_OFFSETS_MM for a, b in pairwise(column))


def test_without_variation_the_spine_is_the_mean_of_real_ones():
    spine = pose_spine(REGULAR, np.random.default_rng(0), 0.0)
    for upper, lower in pairwise(spine):
        offset = MEAN_OFFSETS_MM[upper.label, lower.label]
        assert lower.centre - upper.centre == pytest.approx(offset)
    assert spine[12].centre == pytest.approx([0, 0, 0], abs=1e-9)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_varied_spine_stays_a_spine(seed):
    rng = np.random.default_rng(seed)
    names = column_of(random_kind(rng))
    spine = pose_spine(names, rng, 1.0)
    assert [vertebra.label for vertebra in spine] == [label_of(name) for name in names]
    for upper, lower in pairwise(spine):
        step = lower.centre - upper.centre
        assert step[2] < 0
        assert 8 < np.linalg.norm(step) < 50
    for vertebra in spine:
        assert vertebra.axes @ vertebra.axes.T == pytest.approx(np.eye(3), abs=1e-9)
        assert np.linalg.det(vertebra.axes) == pytest.approx(1)  # right-handed: not mirrored
        assert np.diag(vertebra.axes).min() > 0.5  # left is left, posterior posterior, up up
        assert vertebra.axes[0, 2] == pytest.approx(0, abs=0.5)


def test_a_seed_gives_one_spine():
    one, again, other = (pose_spine(REGULAR, np.random.default_rng(s), 1.0) for s in (4, 4, 5))
    assert all(np.array_equal(a.centre, b.centre) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].centre, other[0].centre)


def test_up_points_along_the_spine():
    for vertebra, above, below in zip(
        (spine := pose_spine(REGULAR, np.random.default_rng(1), 1.0))[1:-1],
        spine[:-2],
        spine[2:],
        strict=True,
    ):
        along = above.centre - below.centre
        assert vertebra.axes[2] == pytest.approx(along / np.linalg.norm(along))
        around = [np.linalg.norm(v.centre - vertebra.centre) for v in (above, below)]
        assert vertebra.distance == pytest.approx(np.mean(around))


def test_local_coordinates_count_from_the_centre_along_the_axes():
    vertebra = pose_spine(REGULAR, np.random.default_rng(2), 1.0)[5]
    points = vertebra.centre + np.array([[0, 0, 0], 2 * vertebra.axes[0], -3 * vertebra.axes[2]])
    assert vertebra.local(points) == pytest.approx(np.array([[0, 0, 0], [2, 0, 0], [0, 0, -3]]))
