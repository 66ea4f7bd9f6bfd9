import numpy as np
import pytest

from verse_train.synthetic.streaks import STREAK_HU, metal_streaks


def two_rods(shape=(6, 80, 80)):
    """Two rods of 6 mm side by side at 2 mm, in slices 2 to 3."""
    metal = np.zeros(shape, bool)
    metal[2:4, 39:42, 25:28] = True
    metal[2:4, 39:42, 52:55] = True
    return metal


def streaks(metal, seed=0, spacing=(2.0, 2.0, 2.0)):
    return metal_streaks(metal, spacing, np.random.default_rng(seed))


def test_streaks_lie_in_the_slices_of_the_metal_and_outside_it():
    metal = two_rods()
    hu = streaks(metal)
    assert not hu[[0, 1, 4, 5]].any()
    assert not hu[metal].any()
    assert hu[2].any()


def test_without_metal_there_are_none():
    assert not streaks(np.zeros((2, 10, 10), bool)).any()


@pytest.mark.parametrize("seed", range(5))
def test_they_have_the_stated_strength_near_the_metal_and_fade_away_from_it(seed):
    hu = streaks(two_rods(), seed)[2]
    near, far = hu[28:53, 14:66], np.concatenate([hu[:12], hu[-12:]])
    assert 0.5 * STREAK_HU[0] < near.std() < 1.5 * STREAK_HU[1]
    assert far.std() < 0.6 * near.std()


def test_between_two_pieces_of_metal_it_is_dark():
    """Rays through both are hardened most (De Man et al. 1999)."""
    between = [streaks(two_rods(), seed)[2:4, 39:42, 32:48].mean() for seed in range(5)]
    beyond = [streaks(two_rods(), seed)[2:4, 30:33, 32:48].mean() for seed in range(5)]
    assert np.mean(between) < -30
    assert np.mean(between) < np.mean(beyond)


def test_voxels_need_not_be_square():
    metal = np.zeros((2, 60, 120), bool)
    metal[:, 28:32, 56:64] = True
    hu = streaks(metal, spacing=(1.0, 2.0, 3.0))
    assert hu.shape == metal.shape
    assert np.isfinite(hu).all()
    assert hu.any()
