from itertools import pairwise

import numpy as np
import pytest

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of
from verse_infer.ct import Centroid, Ct
from verse_infer.files.preview import (
    FOUND,
    MAX_HEIGHT,
    OPACITY,
    PALETTE,
    TRUE,
    WINDOW,
    render_preview,
)
from verse_infer.grid import Lattice

#: 40 × 50 × 60 voxels of 1 × 1.2 × 2 mm: views of 120 × 240 and 80 × 240 pixels at 2 pixels a mm.
GRID = Lattice((-20.0, -30.0, 100.0), (1.0, 1.2, 2.0), (40, 50, 60))
SAGITTAL_WIDTH, CORONAL_WIDTH, HEIGHT, GAP = 120, 80, 240, 6
LABEL = label_of("L1")
COLOUR = PALETTE[CRANIOCAUDAL_LABELS.index(LABEL) % len(PALETTE)]


def ct_of(hu=-1000, grid=GRID):
    return Ct(np.full(grid.shape, hu, np.int16), grid)


def pixels(ct, mask=None, centroids=()):
    return np.asarray(render_preview(ct, mask, centroids)).astype(float)


def views(picture):
    return picture[:, :SAGITTAL_WIDTH], picture[:, SAGITTAL_WIDTH + GAP :]


def place(i, j, k):
    """Row, column in the sagittal and in the coronal view of a voxel's centre."""
    row = int((GRID.size[2] - k - 0.5) * 2.0 * 2)
    return (row, int((j + 0.5) * 1.2 * 2)), (row, int((i + 0.5) * 2))


def test_two_views_with_square_pixels_side_by_side():
    picture = render_preview(ct_of(), None, ())
    assert picture.mode == "RGB"
    assert picture.size == (SAGITTAL_WIDTH + GAP + CORONAL_WIDTH, HEIGHT)


def test_a_tall_scan_is_shown_smaller():
    grid = Lattice((0.0, 0.0, 0.0), (2.0, 2.0, 2.0), (30, 40, 900))
    picture = render_preview(ct_of(grid=grid), None, ())
    scale = MAX_HEIGHT / 1800
    assert picture.size == (round(80 * scale) + GAP + round(60 * scale), MAX_HEIGHT)


@pytest.mark.parametrize("mask", [None, np.zeros(GRID.shape, np.uint8)])
def test_without_vertebrae_the_middle_planes_are_shown_in_grey(mask):
    ct = ct_of()
    ct.hu[:, :, 20] = 300  # the middle sagittal plane
    sagittal, coronal = views(pixels(ct, mask))
    grey = 255 * (300 - WINDOW[0]) / (WINDOW[1] - WINDOW[0])
    assert sagittal[HEIGHT // 2, SAGITTAL_WIDTH // 2] == pytest.approx([grey] * 3, abs=2)
    assert (sagittal.max(axis=-1) == sagittal.min(axis=-1)).all()
    assert coronal[HEIGHT // 2, 10].max() == 0


def test_hu_outside_the_window_are_black_and_white():
    for hu, grey in ((-2000, 0), (3000, 255)):
        sagittal, _ = views(pixels(ct_of(hu)))
        assert sagittal[HEIGHT // 2, SAGITTAL_WIDTH // 2].tolist() == [grey] * 3


def vertebra_mask():
    mask = np.zeros(GRID.shape, np.uint8)
    mask[25:35, 15:30, 12:28] = LABEL
    return mask


def centroid_at(i, j, k, label=LABEL):
    x, y, z = GRID.point((i, j, k)).tolist()
    return Centroid(label, (x, y, z))


def test_colours_stand_where_the_mask_is_and_nowhere_else():
    picture = pixels(ct_of(), vertebra_mask())
    for view, inside, outside in zip(
        views(picture), place(20, 22, 30), place(4, 5, 30), strict=True
    ):
        assert view[inside] == pytest.approx(OPACITY * COLOUR, abs=3)
        assert view[outside].tolist() == [0, 0, 0]
    above = place(20, 22, 45)
    assert all(view[spot].max() == 0 for view, spot in zip(views(picture), above, strict=True))


def test_the_border_of_a_vertebra_is_opaque():
    sagittal, _ = views(pixels(ct_of(), vertebra_mask()))
    row, column = place(20, 29, 30)[0]
    assert sagittal[row, column - 2 : column + 3].max(axis=0) == pytest.approx(COLOUR, abs=40)


def test_neighbours_differ_in_colour():
    for upper, lower in pairwise(CRANIOCAUDAL_LABELS):
        mask = np.zeros(GRID.shape, np.uint8)
        mask[30:], mask[:30] = upper, lower
        sagittal, _ = views(pixels(ct_of(), mask))
        top, bottom = sagittal[HEIGHT // 4, 60], sagittal[3 * HEIGHT // 4, 60]
        assert np.abs(top - bottom).max() > 15


def test_head_is_up_and_anterior_and_right_are_on_the_left():
    ct = ct_of()
    ct.hu[50:, :10, :10] = 3000  # superior, anterior, right
    upper = centroid_at(5, 5, 55)
    for view in views(pixels(ct, None, [upper])):
        assert view[20:30, 16:22].max() == 255
        assert view[HEIGHT - 60 :, :].mean() < 5


def test_a_centroid_is_a_white_dot_with_its_name_beside():
    with_dot = pixels(ct_of(), None, [centroid_at(10, 12, 30)])
    for view, spot in zip(views(with_dot), place(10, 12, 30), strict=True):
        assert view[spot].tolist() == [255, 255, 255]
    # The name stands 32 mm to the right, in the sagittal view's plane.
    row, column = place(10, 12, 30)[0]
    assert views(with_dot)[0][row - 10 : row + 10, column + 62 :].max() > 200


def test_the_truth_is_green_with_its_name_on_the_left_and_the_planes_go_through_it():
    ct = ct_of()
    ct.hu[:, :, 10] = 900
    true, found = centroid_at(10, 30, 30, label_of("T12")), centroid_at(20, 30, 20)
    picture = np.asarray(render_preview(ct, None, [found], [true])).astype(float)
    sagittal, _ = views(picture)
    row, column = place(10, 30, 30)[0]
    assert sagittal[row, column].tolist() == list(TRUE.colour)
    assert sagittal[place(20, 30, 20)[0]].tolist() == list(FOUND.colour)
    assert sagittal[5, 5].min() > 150  # the plane of the truth
    name = sagittal[row - 10 : row + 10, : column - 60]
    assert (name == TRUE.colour).all(axis=-1).any()


def test_the_planes_follow_a_curved_spine():
    """Two vertebrae at x indices 10 and 30: each row of the sagittal view shows its own plane."""
    ct = ct_of()
    ct.hu[45, :, 10], ct.hu[15, :, 30] = 900, 900
    ends = [centroid_at(10, 25, 45), centroid_at(30, 25, 15, label_of("L2"))]
    sagittal, _ = views(pixels(ct, None, ends))
    assert sagittal[place(0, 5, 45)[0]].mean() > 150
    assert sagittal[place(0, 5, 15)[0]].mean() > 150
    straight, _ = views(pixels(ct))
    assert straight[place(0, 5, 45)[0]].max() == 0


def test_the_order_of_the_centroids_does_not_matter():
    mask = vertebra_mask()
    ends = [centroid_at(10, 25, 45), centroid_at(30, 25, 15, label_of("L2"))]
    assert np.array_equal(pixels(ct_of(), mask, ends), pixels(ct_of(), mask, ends[::-1]))


def test_a_centroid_at_the_very_border_is_no_error():
    for index in ((-0.5, -0.5, -0.5), (39.5, 49.5, 59.5)):
        picture = render_preview(ct_of(), vertebra_mask(), [centroid_at(*index)])
        assert picture.size == (SAGITTAL_WIDTH + GAP + CORONAL_WIDTH, HEIGHT)


def test_oblique_and_tiny_scans_are_no_error():
    c, s = np.cos(0.3), np.sin(0.3)
    oblique = Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (9, 8, 7), (c, -s, 0, s, c, 0, 0, 0, 1))
    middle = Centroid(1, tuple(oblique.point((4, 4, 3)).tolist()))
    assert render_preview(ct_of(grid=oblique), None, [middle]).size == (16 + GAP + 18, 14)
    single = Lattice((0.0, 0.0, 0.0), (0.1, 0.1, 0.1), (1, 1, 1))
    assert render_preview(ct_of(grid=single), None, ()).size == (1 + GAP + 1, 1)
