"""Straightened pictures of a drawn body whose anatomy is known by formula."""

import numpy as np
import pytest

from verse_infer.grid import Lattice
from verse_infer.straightening import (
    CHANNELS,
    COLUMN_MM,
    COLUMNS,
    LOWEST,
    ROW_MM,
    SpineCurve,
    curve_through,
    mirrored,
    picture_along,
)

GRID = Lattice((-120.0, -100.0, 0.0), (1.5, 1.5, 1.5), (160, 134, 160))
MIDDLE = (COLUMNS - 1) // 2


def bent(z):
    """x and y of a kyphotic and scoliotic line, mm."""
    return 15 * np.sin(np.asarray(z) / 60), 25 * np.cos(np.asarray(z) / 70)


def points_on_line(*heights):
    return np.array([[*bent(z), z] for z in heights])


def volume_of(draw):
    k, j, i = np.indices(GRID.shape)
    x, y, z = np.moveaxis(GRID.point(np.stack([i, j, k], axis=-1)), -1, 0)
    return draw(x, y, z).astype(np.int16)


def tube(x, y, z, radius=12.0):
    cx, cy = bent(z)
    return np.where(np.hypot(x - cx, y - cy) < radius, 400, -100)


def heights():
    return np.arange(5.0, 236.0, 20.0)


def test_a_bent_column_becomes_a_straight_one():
    curve = curve_through(points_on_line(*heights()), (0.0, 238.0))
    picture = picture_along(volume_of(tube), GRID, curve)
    assert picture.shape == (len(curve.centre), COLUMNS, CHANNELS)
    inside = slice(20, len(picture) - 20)
    for channel in (0, 1):
        column = picture[inside, :, channel] > 0.15
        left, right = column.argmax(axis=1), COLUMNS - 1 - column[:, ::-1].argmax(axis=1)
        assert np.abs((left + right) / 2 - MIDDLE).max() < 1.5
        assert np.abs((right - left) * COLUMN_MM - 24).max() < 5


def test_rows_follow_the_curve_at_one_distance_and_cross_it_at_right_angles():
    curve = curve_through(points_on_line(*heights()), (0.0, 238.0))
    steps = np.diff(curve.centre, axis=0)
    assert np.allclose(np.linalg.norm(steps, axis=1), ROW_MM, atol=0.02)
    assert (steps[:, 2] > 0).all()
    along = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    assert np.abs((along * curve.across[1:]).sum(axis=1)).max() < 0.15
    assert np.abs((along * curve.back[1:]).sum(axis=1)).max() < 0.15
    assert np.allclose((curve.across * curve.back).sum(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize(("across", "back"), [(0.0, 0.0), (6.0, -4.0), (-9.0, 8.0)])
def test_places_of_a_picture_and_points_of_the_scan_are_each_others_inverse(across, back):
    curve = curve_through(points_on_line(*heights()), (0.0, 238.0))
    for row in (15.3, 60.0, 120.8):
        point = curve.point(row, across, back)
        found = curve.place(point)
        assert np.allclose(found, (row, across, back), atol=0.35)
        assert np.linalg.norm(np.subtract(curve.point(*found), point)) < 0.5


def test_the_patients_left_is_on_the_right_and_ribs_are_what_is_dense_behind():
    straight = curve_through([(0.0, 0.0, 20.0), (0.0, 0.0, 200.0)], (0.0, 238.0))

    def rib(x, y, z):
        return np.where((np.abs(x - 30) < 4) & (np.abs(y - 33) < 4) & (np.abs(z - 120) < 4), 900, 0)

    picture = picture_along(volume_of(rib), GRID, straight)
    row, column = np.unravel_index(picture[..., 2].argmax(), picture.shape[:2])
    assert picture[..., 2].max() == pytest.approx(0.9, abs=0.05)
    assert (column - MIDDLE) * COLUMN_MM == pytest.approx(30, abs=5)
    assert straight.centre[row, 2] == pytest.approx(120, abs=5)
    assert picture[20:-20, 10:-10, 1].max() == 0
    assert picture[20:-20, 10:-10, 3].max() < 0.01


def test_what_lies_before_the_spine_is_averaged():
    straight = curve_through([(0.0, 0.0, 20.0), (0.0, 0.0, 200.0)], (0.0, 238.0))
    picture = picture_along(
        volume_of(lambda _x, y, _z: np.where(y < -45, -800, 100)), GRID, straight
    )
    assert (picture[20:-20, 10:-10, 3] < -0.2).all()
    assert np.allclose(picture[20:-20, 10:-10, 2], 0.1, atol=0.01)


def test_beyond_the_scan_is_air_and_values_are_clipped():
    straight = curve_through([(0.0, 0.0, 20.0), (0.0, 0.0, 200.0)], (0.0, 238.0))
    picture = picture_along(np.full(GRID.shape, 3000, np.int16), GRID, straight)
    assert picture.max() == 2.0
    assert (picture[0] == LOWEST).all()


def test_a_curve_goes_straight_on_beyond_its_points():
    curve = curve_through(
        [(0.0, 0.0, 100.0), (5.0, 10.0, 120.0), (10.0, 20.0, 140.0)], (0.0, 238.0)
    )
    assert curve.centre[0, 2] < 0
    assert curve.centre[-1, 2] > 238
    direction = np.array([5.0, 10.0, 20.0]) / np.linalg.norm([5.0, 10.0, 20.0])
    for end in (curve.centre[10] - curve.centre[0], curve.centre[-1] - curve.centre[-11]):
        assert end / np.linalg.norm(end) @ direction > 0.99


def test_one_point_is_enough_for_a_curve():
    curve = curve_through([(3.0, 4.0, 100.0)], (0.0, 200.0))
    assert np.allclose(curve.centre[:, :2], (3.0, 4.0))


def test_the_mirror_image_keeps_front_and_back():
    picture = np.random.default_rng(0).random((4, COLUMNS, CHANNELS), np.float32)
    turned = mirrored(picture)
    assert (turned[..., 0] == picture[..., 0]).all()
    assert (turned[:, 0, 1:] == picture[:, -1, 1:]).all()
    assert (mirrored(turned) == picture).all()


def test_a_row_of_a_curve_is_a_plane_of_the_picture():
    """The same as sampling one plane by hand."""
    curve = SpineCurve(
        np.array([[0.0, 0.0, 50.0]]), np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    )
    picture = picture_along(volume_of(lambda x, _y, z: 2 * x + 3 * z), GRID, curve)
    columns = COLUMN_MM * (np.arange(COLUMNS) - MIDDLE)
    assert np.allclose(picture[0, 5:-5, 1], (2 * columns[5:-5] + 150) / 1000, atol=2e-3)
