from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.fake_networks import fake_network, network_with
from tests.helpers.itk_resampling import itk_image, itk_resample
from verse_infer.ct import Centroid, Ct
from verse_infer.grid import Lattice
from verse_infer.segmentation import (
    crop_lattice,
    gaussian,
    largest_piece,
    segment_vertebrae,
    voxel_counts,
)
from verse_infer.weights import Crop

GRID = Lattice((-40.0, -40.0, -60.0), (0.8, 1.0, 1.5), (100, 80, 80))


def ball_network(radius, height=1.0, edge=1.0):
    """Answers with a ball around the middle of its crop, whatever the CT shows.

    The response falls from `height` to 0 over `edge` voxels around the radius.
    """

    def answer(image):
        z, y, x = np.indices(image.shape[:3])
        n = image.shape
        r = np.sqrt(
            (x - (n[2] - 1) / 2) ** 2 + (y - (n[1] - 1) / 2) ** 2 + (z - (n[0] - 1) / 2) ** 2
        )
        return height * np.clip(0.5 + (radius - r) / edge, 0, 1)[..., None]

    return fake_network("vertebra_segmentation", answer)


def ct():
    return Ct(np.full(GRID.shape, 100, np.int16), GRID)


def distances(point):
    k, j, i = np.indices(GRID.shape)
    return np.linalg.norm(GRID.point(np.stack([i, j, k], axis=-1)) - point, axis=-1)


def test_a_vertebra_is_segmented_where_it_is():
    centre = (3.3, -4.2, 1.7)
    mask = segment_vertebrae(ct(), [Centroid(20, centre)], ball_network(9.0))
    r = distances(centre)
    assert (mask[r < 8] == 20).all()
    assert (mask[r > 10] == 0).all()


def test_responses_beyond_one_count_as_one():
    mask = segment_vertebrae(ct(), [Centroid(20, (0.0, 0.0, 0.0))], ball_network(9.0, height=1.2))
    assert (mask[distances((0.0, 0.0, 0.0)) < 8] == 20).all()


def test_neighbours_share_the_border_by_response():
    first, second = (0.0, 0.0, -7.0), (0.0, 0.0, 7.0)
    mask = segment_vertebrae(ct(), [Centroid(20, first), Centroid(21, second)], ball_network(9.0))
    nearer_first = distances(first) < distances(second) - 1.5
    nearer_second = distances(second) < distances(first) - 1.5
    assert not (mask[nearer_first] == 21).any()
    assert not (mask[nearer_second] == 20).any()


def test_the_order_of_vertebrae_matters_only_where_responses_are_equal():
    centroids = [Centroid(20, (0.0, 0.0, -7.0)), Centroid(21, (1.0, 0.0, 6.0))]
    network = ball_network(9.0, edge=18.0)  # falls all the way: equal only on the middle plane
    forward = segment_vertebrae(ct(), centroids, network)
    backward = segment_vertebrae(ct(), centroids[::-1], network)
    assert (forward != backward).sum() < 0.01 * (forward > 0).sum()


def test_a_vertebra_at_the_border_is_cut_and_one_outside_is_nothing():
    mask = segment_vertebrae(ct(), [Centroid(20, (0.0, 0.0, -60.0))], ball_network(9.0))
    assert (mask[0] == 20).any()
    assert not segment_vertebrae(ct(), [Centroid(20, (0, 0, 500.0))], ball_network(9.0)).any()


def test_responses_of_one_half_or_less_are_background():
    assert not segment_vertebrae(ct(), [Centroid(20, (0, 0, 0))], ball_network(9.0, 0.5)).any()


def test_only_the_largest_piece_stays_with_its_soft_edge():
    response = np.zeros((10, 10, 10), np.float32)
    response[1:3, 1:3, 1:3] = 0.9  # 8 voxels
    response[5:8, 5:8, 5:8] = 0.8  # 27 voxels
    response[8, 5:8, 5:8] = 0.4  # its edge
    response[4, 4, 4] = 0.6  # touches it by a corner only: another piece
    block, kept = largest_piece(response, 0.5)
    assert block == (slice(4, 9),) * 3
    response[4, 4, 4] = 0.0
    assert np.array_equal(kept, response[block])


def test_a_piece_at_the_border_has_no_more_around_it():
    response = np.zeros((6, 6, 6), np.float32)
    response[:2, 2:4, 5] = 1.0
    block, kept = largest_piece(response, 0.5)
    assert block == (slice(0, 3), slice(1, 5), slice(4, 6))
    assert np.array_equal(kept, response[block])
    assert largest_piece(response, 1.0) is None


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_of_any_size_give_the_mask_of_the_plain_way(batch):
    """Every vertebra by itself, its whole response brought back to the whole CT, the largest wins."""
    centroids = [Centroid(20 + i, (i - 1.0, 2.0 * i, 18.0 * i - 30)) for i in range(4)]
    network = ball_network(9.0, edge=18.0)
    expected, best = np.zeros(GRID.shape, np.uint8), np.full(GRID.shape, 0.5)
    for centroid in centroids:
        lattice = crop_lattice(centroid, network)
        response = network(np.zeros((*lattice.shape, 2), np.float32))[..., 0]
        volume = itk_resample(itk_image(response, lattice), GRID, 0.0)
        expected[volume > best] = centroid.label
        best = np.maximum(best, volume)
    mask = segment_vertebrae(ct(), centroids, replace(network, batch=batch))
    for label in (20, 21, 22, 23):
        same = ((mask == label) & (expected == label)).sum()
        assert 2 * same >= 0.999 * ((mask == label).sum() + (expected == label).sum())


def test_voxels_are_counted_by_label():
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[1, 0, :3], mask[2, 1, 1] = 20, 28
    counts = voxel_counts(mask)
    assert (counts[0], counts[20], counts[28], counts.sum()) == (56, 3, 1, 60)


def test_gaussian_is_highest_at_its_place():
    values = gaussian((9, 7, 5), np.zeros(3), 2.0)
    assert values.shape == (5, 7, 9)
    assert values[2, 3, 4] == pytest.approx(1.0)
    assert values[2, 3, 6] == pytest.approx(np.exp(-0.5))
    shifted = gaussian((9, 7, 5), np.array([1.0, -3.0, 2.0]), 2.0)
    assert np.unravel_index(shifted.argmax(), shifted.shape) == (4, 0, 5)
    between = gaussian((9, 7, 5), np.array([0.5, 0.0, 0.0]), 2.0)
    assert between[2, 3, 4] == between[2, 3, 5] == pytest.approx(np.exp(-0.5 * 0.25**2))


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_every_vertebra_is_seen_in_the_crop_of_its_label_and_segmented_where_it_is(batch):
    seen = []

    def answer(image):
        seen.append(image.shape[:3])
        return (image[..., 1] > np.exp(-0.5 * (9.0 / 3.0) ** 2)).astype(np.float32)[..., None]

    network = replace(fake_network("vertebra_segmentation", answer), batch=batch)
    small = Crop((48, 32, 32), (0.0, 3.0, -2.0), labels=(20, 22))
    network = network_with(network, crops=(small,))
    points = [(-20.0, 0.0, 40.0), (0.0, 0.0, 15.0), (3.3, -4.2, -15.0), (20.0, 0.0, -40.0)]
    given = [Centroid(label, p) for label, p in zip((20, 22, 21, 23), points, strict=True)]
    mask = segment_vertebrae(ct(), given, network)
    whole = network.weights.input_size[::-1]
    assert seen == [(32, 32, 48), (32, 32, 48), whole, whole]
    for centroid in given:
        r = distances(centroid.point)
        assert (mask[r < 8] == centroid.label).all()
        assert (mask[(r > 10) & (r < 12)] == 0).all()


def test_a_crop_beside_the_centroid_marks_and_segments_the_vertebra_where_it_is():
    seen = []

    def answer(image):
        seen.append(image)
        return (image[..., 1] > np.exp(-0.5 * (9.0 / 3.0) ** 2)).astype(np.float32)[..., None]

    network = fake_network("vertebra_segmentation", answer)
    network = network_with(network, crop_offset_mm=(2.0, 8.0, -3.0))
    centre = (3.3, -4.2, 1.7)
    centroid = Centroid(20, centre)
    assert np.allclose(crop_lattice(centroid, network).corners().mean(axis=0), (5.3, 3.8, -1.3))
    mask = segment_vertebrae(ct(), [centroid], network)
    marked = np.unravel_index(seen[0][..., 1].argmax(), seen[0].shape[:3])
    assert np.abs(crop_lattice(centroid, network).point(marked[::-1]) - centre).max() < 0.51
    r = distances(centre)
    assert (mask[r < 8] == 20).all()
    assert (mask[r > 10] == 0).all()
