import numpy as np
import pytest

from verse_infer.ct import Centroid, Ct
from verse_infer.flags import FlagCode
from verse_infer.grid import Lattice
from verse_infer.quality import implausible, uncertain
from verse_infer.segmentation import voxel_counts

GRID = Lattice((-150.0, -100.0, 0.0), (3.0, 2.0, 4.0), (100, 100, 80))
LABELS = (17, 18, 19, 20, 21, 22, 23, 24)


def patient(*, x=0.0, y=60.0, growth=1.1):
    """An ellipse of water around (0, 0), a spine at x, y whose vertebrae grow downwards."""
    points = np.stack(np.meshgrid(np.arange(100), np.arange(100)), axis=-1)
    place = points * (3.0, 2.0) + (-150.0, -100.0)
    inside = (place[..., 0] / 140) ** 2 + (place[..., 1] / 95) ** 2 < 1
    hu = np.where(inside, 0, -1000).astype(np.int16)[None].repeat(80, axis=0)
    mask, centroids = np.zeros(hu.shape, np.uint8), []
    for rank, label in enumerate(LABELS):
        z = 300.0 - 35.0 * rank
        i, j, k = np.rint(GRID.index((x, y, z))).astype(int)
        mask[k - 3 : k + 3, j - 5 : j + 5, i - 5 : i - 5 + round(10 * growth**rank)] = label
        centroids.append(Centroid(label, (x, y, z)))
    return Ct(hu, GRID), centroids, voxel_counts(mask)


@pytest.mark.parametrize("place", [{}, {"y": 5.0}, {"x": 25.0}, {"growth": 1.0}, {"growth": 0.97}])
def test_usual_patients_get_no_flag(place):
    assert list(implausible(*patient(**place))) == []


def test_a_spine_in_front_is_flagged():
    (flag,) = implausible(*patient(y=-60.0))
    assert flag.code == FlagCode.SPINE_IN_FRONT
    assert flag.value == pytest.approx(60, abs=2)


def test_a_spine_beside_the_middle_is_flagged():
    (flag,) = implausible(*patient(x=-80.0, y=0.0))
    assert flag.code == FlagCode.SPINE_BESIDE
    assert flag.value == pytest.approx(80, abs=2)


def test_vertebrae_that_shrink_downwards_are_flagged():
    (flag,) = implausible(*patient(growth=0.85))
    assert flag.code == FlagCode.VERTEBRAE_SHRINK
    assert 0 < flag.value < 0.7


def test_too_little_is_no_reason_for_a_flag():
    ct, centroids, voxels = patient(y=-60.0, growth=0.85)
    assert list(implausible(ct, centroids[:1], voxels)) == []
    assert list(implausible(ct, [], np.zeros_like(voxels))) == []
    air = Ct(np.full_like(ct.hu, -1000), GRID)
    assert len(list(implausible(air, centroids, np.zeros_like(voxels)))) == 0


@pytest.mark.parametrize(
    ("responses", "expected"),
    [
        ([0.4], [(FlagCode.FEW_VERTEBRAE, 1)]),
        ([0.9, 0.8], [(FlagCode.FEW_VERTEBRAE, 2)]),
        ([0.1, 0.2, 0.9], [(FlagCode.LOW_RESPONSE, 0.2)]),
        ([0.1, 0.6, 0.7], []),
        ([], []),
    ],
)
def test_low_heatmaps_and_single_vertebrae_are_flagged(responses, expected):
    centroids = [Centroid(n + 1, (0.0, 0.0, -30.0 * n), r) for n, r in enumerate(responses)]
    flags = uncertain(centroids, usual_response=0.35)
    assert [(flag.code, flag.value) for flag in flags] == expected


def test_heights_of_heatmaps_say_nothing_where_the_weights_do_not_state_the_usual_ones():
    centroids = [Centroid(n + 1, (0.0, 0.0, -30.0 * n), 0.01) for n in range(4)]
    assert list(uncertain(centroids)) == []
