from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of, name_of
from verse_train.synthetic.vertebra_shape import (
    VertebraShape,
    deformed_shape,
    extent_mm,
    inside_vertebra,
    shape_of,
)

#: Mean distances of neighbouring centres, roughly; mm.
DISTANCE = {"C": 16.0, "T": 23.0, "L": 33.0}
LEVELS = [name_of(label) for label in CRANIOCAUDAL_LABELS]


def mean_shape(name, variation=0.0, seed=0):
    label = label_of(name)
    return shape_of(label, DISTANCE[name[0]], np.random.default_rng(seed), variation)


def voxels(shape, margin=12.0, step=1.5):
    """Local points of a box larger than the vertebra, and which are bone; axes x, y, z."""
    low, high = extent_mm(shape)
    # Symmetric in x, with a voxel in the median plane.
    side = step * np.ceil((high[0] + margin) / step)
    axes = [np.arange(-side, side + step / 2, step)] + [
        np.arange(low[d] - margin, high[d] + margin, step) for d in (1, 2)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return points, inside_vertebra(shape, points)


@pytest.mark.parametrize(
    ("name", "width", "depth"), [("L1", 40.9, 32.0), ("L5", 50.9, 35.0), ("T11", 37.7, 30.0)]
)
def test_mean_sizes_are_the_measured_ones(name, width, depth):
    shape = mean_shape(name)
    assert (shape.width, shape.depth) == pytest.approx((width, depth))


def test_sizes_between_measured_levels_are_interpolated():
    """L2 stands halfway between L1 and L3."""
    upper, middle, lower = (mean_shape(name) for name in ("L1", "L2", "L3"))
    assert middle.width == pytest.approx((upper.width + lower.width) / 2)


def test_the_body_leaves_room_for_the_disc():
    for name in LEVELS:
        shape = mean_shape(name)
        assert 0.7 < shape.height / DISTANCE[name[0]] < 0.85


def heights(shape, front):
    """Height of the body in the median plane, at a share of its depth before its centre."""
    z = np.arange(-40, 40, 0.25)
    y = np.full_like(z, -front * shape.depth)
    points = np.stack([np.zeros_like(z), y, z], axis=-1)
    return 0.25 * inside_vertebra(shape, points).sum()


def test_a_wedge_is_lower_in_front_and_a_biconcave_body_in_the_middle():
    plain = mean_shape("T12")
    wedge, biconcave = replace(plain, wedge=0.4), replace(plain, biconcave=0.4)
    assert heights(wedge, 0.45) / heights(plain, 0.45) == pytest.approx(0.62, abs=0.04)
    assert heights(wedge, -0.45) / heights(plain, -0.45) > 0.95
    assert heights(biconcave, 0.0) / heights(plain, 0.0) == pytest.approx(0.57, abs=0.04)
    assert heights(biconcave, 0.47) / heights(plain, 0.47) > 0.85


def test_osteophytes_widen_the_rims_and_leave_waist_and_canal():
    plain = mean_shape("L3")
    spurs = replace(plain, osteophytes=5.0)
    points, before = voxels(plain)
    after = inside_vertebra(spurs, points)
    grown = points[after & ~before]
    assert len(grown) > 50
    assert not (before & ~after).any()
    assert (np.abs(grown[:, 2]) > 0.25 * plain.height).all()
    assert (grown[:, 1] < 0.3 * plain.depth).all()
    low, high = extent_mm(spurs)
    assert (grown >= low).all()
    assert (grown <= high).all()


def test_deformities_are_of_all_kinds_and_spare_c1():
    shape = mean_shape("T8")
    rng = np.random.default_rng(0)
    drawn = [deformed_shape(shape, rng) for _ in range(60)]
    kinds = {(d.wedge > 0, d.biconcave > 0, d.osteophytes > 0) for d in drawn}
    assert kinds == {(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)}
    assert deformed_shape(mean_shape("C1"), rng) == mean_shape("C1")


def test_variation_is_ten_percent_at_most_and_follows_the_seed():
    mean = mean_shape("T8")
    drawn = [mean_shape("T8", 1.0, seed) for seed in range(30)]
    ratios = np.array([shape.width / mean.width for shape in drawn])
    assert 0.9 <= ratios.min() < 0.95
    assert 1.05 < ratios.max() <= 1.1
    assert drawn[3] == mean_shape("T8", 1.0, 3)
    assert isinstance(drawn[3], VertebraShape)


@pytest.mark.parametrize("name", LEVELS)
def test_a_vertebra_lies_in_its_stated_extent_and_is_symmetric(name):
    shape = mean_shape(name)
    points, bone = voxels(shape)
    assert 300 < bone.sum() * 1.5**3 < 200_000  # mm³
    low, high = extent_mm(shape)
    assert (points[bone] >= low).all()
    assert (points[bone] <= high).all()
    assert np.array_equal(bone, bone[::-1])


@pytest.mark.parametrize("name", LEVELS)
def test_the_extent_holds_vertebrae_of_all_sizes(name):
    for seed in range(4):
        shape = mean_shape(name, 1.0, seed)
        points, bone = voxels(shape, step=2.0)
        low, high = extent_mm(shape)
        assert (points[bone] >= low).all()
        assert (points[bone] <= high).all()


def test_c1_has_a_ring_closed_in_front_and_transverse_processes():
    shape = mean_shape("C1")
    for point in ((0.0, -18.0, 0.0), (0.0, 18.0, 0.0), (36.0, 3.0, -1.0), (-36.0, 3.0, -1.0)):
        assert inside_vertebra(shape, np.array(point))


@pytest.mark.parametrize("name", LEVELS)
def test_a_vertebra_is_one_piece_with_a_free_canal(name):
    shape = mean_shape(name)
    points, bone = voxels(shape, step=1.0)
    assert scipy.ndimage.label(bone, np.ones((3, 3, 3)))[1] == 1
    if name != "C1":
        canal = np.array([0.0, shape.canal_centre, 0.0])
        assert not inside_vertebra(shape, canal)
        assert inside_vertebra(shape, np.zeros(3))  # the centre of the body is bone
        # At mid height the canal is walled in on all sides.
        plane = bone[:, :, np.abs(points[0, 0, :, 2] - 0.0).argmin()]
        filled = scipy.ndimage.binary_fill_holes(plane)
        place = [
            np.abs(points[:, 0, 0, 0]).argmin(),
            np.abs(points[0, :, 0, 1] - canal[1]).argmin(),
        ]
        assert filled[tuple(place)]
    else:
        assert not inside_vertebra(shape, np.zeros(3))  # C1 is a ring


def test_only_c2_has_a_dens():
    for name in ("C2", "C3"):
        shape = mean_shape(name)
        above = np.array([0.0, -0.5, 1.1 * shape.height])
        assert bool(inside_vertebra(shape, above)) == (name == "C2")


def test_the_body_is_as_wide_and_deep_as_stated():
    shape = mean_shape("L3")
    top = 0.4 * shape.height
    for axis, size in ((0, shape.width), (1, shape.depth)):
        inner, outer = np.zeros((2, 3))
        inner[[axis, 2]], outer[[axis, 2]] = (-0.45 * size, top), (-0.53 * size, top)
        assert inside_vertebra(shape, inner)
        assert not inside_vertebra(shape, outer)
