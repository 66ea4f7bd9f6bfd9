import numpy as np
import pytest
import scipy.ndimage

from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.implants import add_cement, add_fixation

METAL_HU, CEMENT_HU = 3000.0, 1500.0
LATTICE = Lattice.centred((0.0, 10.0, 0.0), 2.0, (60, 60, 110))


def column(names, distance, lattice=LATTICE, tilt=0.0):
    """Bodies as balls along a line that leans backwards by a share of its height."""
    tissue = np.full(lattice.shape, Tissue.MUSCLE, np.uint8)
    vertebrae = np.zeros(lattice.shape, np.uint8)
    grid = np.indices(lattice.shape)[::-1]
    points = lattice.point(np.moveaxis(grid, 0, -1))
    centroids = []
    for number, name in enumerate(names):
        z = distance * ((len(names) - 1) / 2 - number)
        centre = np.array([0.0, -tilt * z, z])
        ball = ((points - centre) ** 2).sum(axis=-1) < (0.45 * distance) ** 2
        vertebrae[ball] = label_of(name)
        x, y, z = centre.tolist()
        centroids.append(Centroid(label_of(name), (x, y, z)))
    tissue[vertebrae > 0] = Tissue.VERTEBRA
    return AnatomyMap(tissue, vertebrae, tuple(centroids), (), lattice)


LUMBAR = ("L1", "L2", "L3", "L4", "L5")
NECK = ("C3", "C4", "C5", "C6", "C7")


def fixed(anatomy, seed):
    hu = np.zeros(anatomy.lattice.shape, np.float32)
    return add_fixation(hu, anatomy, METAL_HU, np.random.default_rng(seed)), hu


@pytest.mark.parametrize("seed", range(6))
def test_metal_has_one_density_and_lies_alike_on_both_sides(seed):
    metal, hu = fixed(column(LUMBAR, 34.0), seed)
    assert metal.any()
    assert (hu[metal] == METAL_HU).all()
    assert not hu[~metal].any()
    assert np.array_equal(metal, metal[:, :, ::-1])


def test_screws_begin_in_the_body_and_end_behind_it_beside_the_middle():
    anatomy = column(LUMBAR, 34.0)
    for seed in range(6):
        metal, _ = fixed(anatomy, seed)
        z, y, x = np.nonzero(metal)
        points = anatomy.lattice.point(np.stack([x, y, z], axis=1))
        # Tips in front of the centre of the body, heads some 4 cm behind; the middle stays free.
        assert -14 < points[:, 1].min() < -4
        assert 40 < points[:, 1].max() < 52
        assert np.abs(points[:, 0]).max() < 26
        assert np.abs(points[points[:, 1] > 15, 0]).min() > 6


def test_rods_join_the_screws_of_one_side_mostly():
    """Joined: one piece on each side. Else: one for every screw."""
    pieces = {scipy.ndimage.label(fixed(column(LUMBAR, 34.0), seed)[0])[1] for seed in range(30)}
    assert 2 in pieces
    assert pieces - {2} <= {4, 6, 8, 10}
    assert pieces - {2}


def test_in_the_neck_screws_stay_in_the_lateral_masses():
    lattice = Lattice.centred((0.0, 10.0, 0.0), 1.0, (100, 80, 120))
    metal, _ = fixed(column(NECK, 18.0, lattice), 1)
    z, y, x = np.nonzero(metal)
    points = lattice.point(np.stack([x, y, z], axis=1))
    assert np.abs(points[:, 0]).min() > 8
    assert points[:, 1].min() > -1
    assert points[:, 1].max() < 28


def test_screws_lean_with_the_spine():
    """Perpendicular to a spine that leans, heads lie higher or lower than the tips."""
    tips, heads = [], []
    anatomy = column(LUMBAR, 34.0, tilt=0.4)
    metal, _ = fixed(anatomy, 3)
    z, y, x = np.nonzero(metal)
    points = anatomy.lattice.point(np.stack([x, y, z], axis=1))
    # Along the spine -z goes with +y; so behind the spine means up as well.
    for centroid in anatomy.centroids:
        offset = points - centroid.point
        near = np.abs(offset @ np.array([0, -0.4, 1.0]) / np.hypot(1, 0.4)) < 4
        if near.any():
            tips.append(offset[near, 2][offset[near, 1] < 0].mean())
            heads.append(offset[near, 2][offset[near, 1] > 30].mean())
    assert np.nanmean(heads) - np.nanmean(tips) > 8


@pytest.mark.parametrize("seed", range(4))
def test_cement_stays_inside_bodies_of_one_to_three_vertebrae(seed):
    anatomy = column(LUMBAR, 34.0)
    hu = np.zeros(LATTICE.shape, np.float32)
    add_cement(hu, anatomy, CEMENT_HU, np.random.default_rng(seed))
    cement = hu != 0
    labels = set(np.unique(anatomy.vertebrae[cement]).tolist())
    assert 1 <= len(labels) <= 3
    assert 0 not in labels
    assert hu[cement].mean() == pytest.approx(CEMENT_HU, rel=0.2)
    assert hu[cement].std() > 20
    for label in labels:
        volume = 8 * (cement & (anatomy.vertebrae == label)).sum()
        assert 4 / 3 * np.pi * 4**3 < volume < 4 / 3 * np.pi * 15**3


def test_c1_and_c2_get_no_cement():
    anatomy = column(("C1", "C2"), 18.0)
    hu = np.zeros(LATTICE.shape, np.float32)
    add_cement(hu, anatomy, CEMENT_HU, np.random.default_rng(0))
    assert not hu.any()


def test_what_the_field_of_view_cuts_is_cut():
    small = Lattice.centred((0.0, 0.0, 0.0), 2.0, (12, 12, 60))
    anatomy = column(LUMBAR, 34.0, small)
    for seed in range(4):
        metal, hu = fixed(anatomy, seed)
        add_cement(hu, anatomy, CEMENT_HU, np.random.default_rng(seed))
        assert metal.shape == small.shape
