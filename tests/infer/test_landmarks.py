import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.fake_networks import STAGE_WEIGHTS, weights_with
from verse_infer.grid import Lattice
from verse_infer.landmarks import Heatmaps, find_candidates, lattice_along
from verse_infer.spine import SpineRegion

LATTICE = Lattice((10.0, -20.0, 30.0), (2.0, 2.0, 2.0), (20, 24, 28))


def gaussian(point, height=1.0, sigma=3.0):
    i, j, k = LATTICE.index(point)
    z, y, x = np.ogrid[:28, :24, :20]
    return height * np.exp(-((x - i) ** 2 + (y - j) ** 2 + (z - k) ** 2) / (2 * sigma**2))


def heatmaps(*channels, labels=(20, 21)):
    return Heatmaps(
        np.stack(channels, axis=-1).astype(np.float32), labels[: len(channels)], LATTICE
    )


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.floats(16, 42), st.floats(-12, 18), st.floats(38, 76)))
def test_position_is_found_far_below_the_voxel_size(point):
    (found,) = find_candidates(heatmaps(gaussian(point)), 0.3, 3)
    assert found.label == 20
    assert np.linalg.norm(np.subtract(found.point, point)) < 0.1  # voxels are 2 mm


def test_a_maximum_among_negative_values_has_a_position():
    """Networks that multiply heatmaps answer below 0, too."""
    heatmap = 2.0 * gaussian((24.0, 0.0, 50.0), sigma=0.5) - 1.0
    (found,) = find_candidates(heatmaps(heatmap), 0.3, 3)
    assert found.point == pytest.approx((24.0, 0.0, 50.0), abs=0.1)


def test_two_maxima_of_one_heatmap_and_one_of_another():
    first = gaussian((20, 0, 40)) + gaussian((20, 0, 70), height=0.6)
    found = find_candidates(heatmaps(first, gaussian((30, 5, 60))), 0.3, 3)
    assert [c.label for c in found] == [20, 20, 21]
    assert [c.response for c in found] == pytest.approx([1.0, 0.6, 1.0], abs=0.02)
    assert found[1].point == pytest.approx((20, 0, 70), abs=0.1)


def test_maxima_below_the_threshold_or_too_near_a_higher_one_do_not_count():
    heatmap = gaussian((24, 0, 50), sigma=1.0) + gaussian((24, 0, 58), 0.8, sigma=1.0)
    assert len(find_candidates(heatmaps(heatmap), 0.3, 3)) == 2  # 4 voxels apart
    assert len(find_candidates(heatmaps(heatmap), 0.3, 5)) == 1
    assert find_candidates(heatmaps(0.2 * heatmap), 0.3, 3) == ()


def test_a_maximum_on_the_border_stays_inside():
    (found,) = find_candidates(heatmaps(gaussian((10.0, 0.0, 30.0))), 0.3, 3)
    assert found.point == pytest.approx((10.0, 0.0, 30.0), abs=0.1)


@pytest.mark.parametrize(
    ("length_mm", "slices", "whole"),
    [(10, 16, 64), (32, 16, 64), (33, 32, 64), (128, 64, 64), (130, 80, 112), (224, 112, 112),
     (226, 128, 160)],
)  # fmt: skip
def test_lattice_along_the_spine_is_of_16_slices_or_of_whole_tiles(length_mm, slices, whole):
    """2 mm; tiles of 64 slices that overlap by 16, so their step is 48."""
    weights = STAGE_WEIGHTS["vertebra_localisation"]
    region = SpineRegion((5.0, -3.0), (-20.0, length_mm - 20.0), 1.0)
    lattice = lattice_along(region, weights)
    assert lattice.size == (48, 48, slices)
    lattice = lattice_along(region, weights_with(weights, whole_tiles=True))
    assert lattice.size == (48, 48, whole)
    middle = lattice.point(np.array([23.5, 23.5, (whole - 1) / 2]))
    assert middle == pytest.approx((5.0, -3.0, length_mm / 2 - 20.0))
