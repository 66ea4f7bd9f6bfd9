import numpy as np
import pytest

from tests.helpers.fake_networks import fake_network, network_with
from verse_infer.ct import Ct
from verse_infer.grid import Lattice
from verse_infer.spine import (
    coarse_lattice,
    locate_spine,
    region_of_heatmap,
    whole_scan_region,
    z_range_of,
)

LATTICE = Lattice((0.0, 0.0, 0.0), (8.0, 8.0, 8.0), (16, 16, 16))


def region(heatmap, margin=0.0, scan=(0.0, 120.0)):
    return region_of_heatmap(heatmap, LATTICE, threshold=0.3, margin_mm=margin, scan_z_range=scan)


def test_centre_of_mass_and_extent_of_a_straight_spine():
    # One voxel of height 1 in slices 4 to 9 at x index 7, y index 5.
    heatmap = np.zeros(LATTICE.shape, np.float32)
    heatmap[4:10, 5, 7] = 1.0
    found = region(heatmap)
    assert found is not None
    assert found.centre_xy == pytest.approx((56.0, 40.0))
    assert found.z_range == pytest.approx((32.0, 72.0))
    assert found.height == 1.0


def test_margin_stays_within_the_scan():
    heatmap = np.zeros(LATTICE.shape, np.float32)
    heatmap[0:10, 5, 7] = 1.0
    assert region(heatmap, margin=20.0).z_range == pytest.approx((0.0, 92.0))
    assert region(heatmap, margin=20.0, scan=(0.0, 75.0)).z_range == pytest.approx((0.0, 75.0))


def test_nothing_above_the_threshold_is_no_spine():
    assert region(np.full(LATTICE.shape, 0.29, np.float32)) is None


def test_a_light_piece_aside_is_noise_and_a_heavy_one_is_spine():
    heatmap = np.zeros(LATTICE.shape, np.float32)
    heatmap[2:8, 5, 7] = 1.0
    heatmap[14, 15, 15] = 0.4
    assert region(heatmap).z_range[1] == pytest.approx(56.0)
    heatmap[11:15, 5, 7] = 1.0
    assert region(heatmap).z_range[1] == pytest.approx(112.0)


def whole(heatmap, threshold=0.0):
    return whole_scan_region(heatmap, LATTICE, threshold=threshold, scan_z_range=(3.0, 117.0))


def test_centre_of_mass_of_the_whole_heatmap_counts_every_value_with_its_sign():
    """x = 8 (2·3 + 3·9 - 1·5) / 4 = 56; every value stands in row y = 4."""
    heatmap = np.zeros(LATTICE.shape, np.float32)
    heatmap[2, 4, 3], heatmap[9, 4, 9], heatmap[5, 4, 5] = 2.0, 3.0, -1.0
    found = whole(heatmap)
    assert found.centre_xy == pytest.approx((56.0, 32.0))
    assert found.z_range == (3.0, 117.0)
    assert found.height == 3.0


def test_no_region_of_a_heatmap_that_is_low_or_cancels_out():
    heatmap = np.zeros(LATTICE.shape, np.float32)
    assert whole(heatmap) is None
    heatmap[2, 4, 3] = 1.0
    assert whole(heatmap, threshold=1.0) is None
    heatmap[2, 4, 15] = -0.9  # the centre would lie at x = 8 (3 - 13.5) / 0.1, left of the lattice
    assert whole(heatmap) is None
    heatmap[2, 4, 14] = -1.0
    assert whole(heatmap) is None


def test_the_weights_choose_the_whole_scan():
    lattice = Lattice((0.0, 0.0, 0.0), (8.0, 8.0, 8.0), (16, 16, 32))
    ct = Ct(np.zeros(lattice.shape, np.int16), lattice)
    network = fake_network("spine_localisation", np.ones_like)
    network = network_with(network, whole_scan=True)
    found = locate_spine(ct, network)
    assert found.centre_xy == pytest.approx((60.0, 60.0))
    assert found.z_range == (0.0, 248.0)


@pytest.mark.parametrize("size", [(512, 512, 200), (512, 512, 1400), (700, 600, 64)])
def test_lattice_holds_any_scan_and_suits_the_network(size):
    scan = Lattice((-250.0, -260.0, 900.0), (0.98, 0.98, 1.0), size)
    lattice = coarse_lattice(scan, fake_network("spine_localisation", lambda x: x))
    assert all(n % 16 == 0 for n in lattice.size)
    inside = lattice.index(scan.corners())
    assert (inside >= -0.5).all()
    assert (inside <= np.array(lattice.size) - 0.5).all()


def test_a_maximum_below_the_least_height_is_no_spine():
    heatmap = np.zeros(LATTICE.shape, np.float32)
    heatmap[4:9, 8, 8] = 0.6
    known = {"threshold": 0.3, "margin_mm": 0.0, "scan_z_range": (0.0, 120.0)}
    assert region_of_heatmap(heatmap, LATTICE, **known, least_height=0.7) is None
    assert region_of_heatmap(heatmap, LATTICE, **known, least_height=0.5) is not None


def test_lattice_of_a_small_scan_has_the_size_of_a_training_sample():
    network = fake_network("spine_localisation", lambda x: x)
    assert coarse_lattice(LATTICE, network).size == tuple(network.weights.input_size)


def test_z_range_of_an_oblique_lattice_covers_its_corners():
    c, s = np.cos(0.2), np.sin(0.2)
    lattice = Lattice((0, 0, 0), (1, 1, 1), (11, 11, 21), (1, 0, 0, 0, c, -s, 0, s, c))
    assert z_range_of(lattice) == pytest.approx((0.0, 10 * s + 20 * c))
