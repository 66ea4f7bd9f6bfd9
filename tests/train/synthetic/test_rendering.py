from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.rendering import SAMPLE, TRAINING, render_ct

from .bodies import part_of_a_body

LATTICE = Lattice.centred((0.0, 0.0, 0.0), 2.0, (24, 24, 24))
QUIET = replace(SAMPLE, texture_hu=(0.0, 0.0), noise_hu=(0.0, 0.0))


def rendered(anatomy, options, seed=0):
    return render_ct(anatomy, np.random.default_rng(seed), options)


def uniform(kind, lattice=LATTICE):
    tissue = np.full(lattice.shape, kind, np.uint8)
    return AnatomyMap(tissue, np.zeros_like(tissue), (), (), lattice)


def cube(lattice=LATTICE):
    """A vertebra of 32 mm in muscle."""
    anatomy = uniform(Tissue.MUSCLE, lattice)
    anatomy.vertebrae[4:20, 4:20, 4:20] = 20
    anatomy.tissue[anatomy.vertebrae > 0] = Tissue.VERTEBRA
    return anatomy


def test_a_seed_gives_one_scan():
    anatomy = part_of_a_body()
    one, again, other = (rendered(anatomy, TRAINING, seed) for seed in (2, 2, 3))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == anatomy.lattice.shape
    assert one.dtype == np.int16


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (Tissue.AIR, -1000, -990),
        (Tissue.LUNG, -900, -650),
        (Tissue.FAT, -120, -70),
        (Tissue.MUSCLE, 20, 90),
        (Tissue.DISC, 50, 140),
        (Tissue.SPINAL_CANAL, 0, 60),
    ],
)
def test_tissues_have_the_hounsfield_units_of_their_kind(kind, low, high):
    # Little noise: where it reaches below -1024 it is cut off, which lifts the mean of air.
    options = replace(TRAINING, metal=0.0, noise_hu=(1.0, 5.0))
    means = [rendered(uniform(kind), options, seed).mean() for seed in range(8)]
    assert low - 3 <= min(means)
    assert max(means) <= high + 3
    assert np.ptp(means) > 0
    # Without spread: the middle of the range, whatever the seed.
    assert rendered(uniform(kind), SAMPLE).mean() == pytest.approx((low + high) / 2, abs=3)


def test_every_tissue_has_a_value_and_bone_is_denser_than_what_surrounds_it():
    values = {kind: float(rendered(uniform(kind), QUIET).mean()) for kind in Tissue}
    soft = [Tissue.FAT, Tissue.MUSCLE, Tissue.SOFT_ORGAN, Tissue.DISC, Tissue.BLOOD]
    assert values[Tissue.VERTEBRA] > max(values[kind] for kind in soft)
    assert values[Tissue.METAL] > values[Tissue.CEMENT] > values[Tissue.VERTEBRA]
    assert all(value != 0 for value in values.values())


def test_values_stay_in_the_range_of_ct():
    anatomy = part_of_a_body()
    for seed in range(4):
        hu = rendered(anatomy, replace(TRAINING, metal=1.0), seed)
        assert hu.min() >= -1024
        assert hu.max() <= 8000


def test_a_vertebra_has_a_dense_shell_around_spongy_bone():
    hu = rendered(cube(), QUIET)
    middle, muscle = hu[12, 12, 12], hu[1, 1, 1]
    profile = hu[12, 12].astype(int)
    assert muscle < middle < profile[4:7].max()
    assert profile[4:7].max() > middle + 150
    assert profile.argmax() in (4, 5, 18, 19)


def test_a_shell_thinner_than_a_voxel_is_the_less_dense():
    walls = [
        rendered(cube(), replace(QUIET, cortex_share=(share, share)))[12, 12, 4:7].max()
        for share in (0.0, 0.5, 1.0)
    ]
    whole = rendered(cube(), QUIET)
    assert walls[0] <= whole[12, 12, 12] + 1
    assert walls[1] == pytest.approx((walls[0] + walls[2]) / 2, abs=2)
    assert walls[2] == whole[12, 12, 4:7].max()


def test_bone_may_be_hardly_denser_than_muscle():
    inner = [rendered(cube(), replace(QUIET, faint=1.0), seed)[12, 12, 12] for seed in range(8)]
    assert 15 <= min(inner) < max(inner) <= 115


def test_bone_may_be_uneven_and_its_arch_denser():
    even, uneven = (
        rendered(cube(), replace(QUIET, uneven=(share, share)))[8:16, 8:16, 8:16]
        for share in (0.0, 0.3)
    )
    assert even.std() < 2
    assert 0.1 < uneven.std() / uneven.mean() < 0.5
    lattice = Lattice.centred((0.0, 0.0, 0.0), 2.0, (24, 40, 24))
    long = uniform(Tissue.MUSCLE, lattice)
    long.vertebrae[4:20, 4:36, 4:20] = 20
    long.tissue[long.vertebrae > 0] = Tissue.VERTEBRA
    long = replace(long, centroids=(Centroid(20, (0.0, -15.0, 0.0)),))
    hu = rendered(long, replace(QUIET, dense_arch=(2.0, 2.0))).astype(float)
    assert hu[12, 30, 12] == pytest.approx(2 * hu[12, 10, 12], rel=0.02)
    assert hu[2, 2, 2] == pytest.approx(rendered(long, QUIET)[2, 2, 2], abs=1)


def test_touching_vertebrae_keep_their_own_shells():
    anatomy = cube()
    anatomy.vertebrae[12:20][anatomy.vertebrae[12:20] > 0] = 21
    plain, split = rendered(cube(), QUIET), rendered(anatomy, QUIET)
    assert split[12, 12, 12] > plain[12, 12, 12] + 150


def test_noise_and_texture_have_about_the_stated_strength():
    noisy = replace(QUIET, noise_hu=(30.0, 30.0))
    for seed in range(3):
        assert rendered(uniform(Tissue.MUSCLE), noisy, seed).std() == pytest.approx(30, rel=0.1)
    textured = replace(QUIET, texture_hu=(40.0, 40.0), blur_mm=(0.1, 0.1), slice_blur_mm=(0.1, 0.1))
    assert 30 < rendered(cube(), textured)[8:16, 8:16, 8:16].std() < 50
    assert rendered(uniform(Tissue.MUSCLE), textured).std() < 10


def test_blur_softens_edges_in_plane_and_along_z_apart():
    anatomy = uniform(Tissue.AIR)
    anatomy.tissue[8:16, 8:16, 8:16] = Tissue.MUSCLE
    along_z = rendered(anatomy, replace(QUIET, blur_mm=(0.1, 0.1), slice_blur_mm=(4.0, 4.0)))
    steps = [np.abs(np.diff(along_z.astype(int), axis=axis)).max() for axis in (0, 1, 2)]
    assert steps[0] < 0.4 * steps[1]
    assert steps[1] == pytest.approx(steps[2], rel=0.05)


def test_contrast_agent_brightens_the_vessels_only():
    anatomy = uniform(Tissue.MUSCLE)
    anatomy.tissue[8:16, 8:16, 8:16] = Tissue.BLOOD
    plain, contrast = (
        rendered(anatomy, replace(QUIET, contrast=probability)) for probability in (0.0, 1.0)
    )
    assert plain[12, 12, 12] < 70
    assert contrast[12, 12, 12] > 100
    assert contrast[1, 1, 1] == plain[1, 1, 1]


def test_metal_cement_and_a_table_are_drawn_where_asked_for():
    anatomy = part_of_a_body()
    plain = rendered(anatomy, SAMPLE)
    assert plain.max() < 1500
    with_metal = rendered(anatomy, replace(SAMPLE, metal=1.0))
    planes = (with_metal > 1500).any(axis=(1, 2))
    assert planes.any()
    # Streaks reach muscle far from the metal, in its own slices alone.
    muscle = anatomy.tissue == Tissue.MUSCLE
    changed = [
        with_metal[k][muscle[k]].std() / plain[k][muscle[k]].std() for k in range(len(plain))
    ]
    assert np.max(changed) > 1.3
    far = ~scipy.ndimage.binary_dilation(planes, iterations=2)
    assert far.any()
    assert (with_metal[far].astype(float) - plain[far]).std() < 30  # other noise, of 15 HU
    cemented = rendered(anatomy, replace(SAMPLE, cement=1.0))
    assert 900 < cemented.max() < 3000
    lying = part_of_a_body_on_air()
    behind = rendered(lying, replace(SAMPLE, table=1.0)).astype(int) - rendered(lying, SAMPLE)
    assert (np.abs(behind[lying.tissue == Tissue.AIR]) > 100).sum() > 100


def part_of_a_body_on_air():
    """The trunk with air behind its back."""
    anatomy = part_of_a_body()
    tissue = anatomy.tissue.copy()
    tissue[:, -25:] = Tissue.AIR
    return replace(anatomy, tissue=tissue)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_vertebrae_for_screws_and_cement_are_no_error(count):
    anatomy = cube()
    some = replace(anatomy, centroids=(Centroid(20, (0.0, 0.0, 0.0)),) * count)
    assert rendered(some, replace(QUIET, metal=1.0, cement=1.0)).max() < 1500
