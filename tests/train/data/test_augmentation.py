from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.training_cases import voxel_points
from tests.helpers.trainings import NOTHING
from verse_infer.grid import Lattice
from verse_train.config import CONFIGS, Augmentation
from verse_train.data.augmentation import change_intensities, random_map, sample_volume

STRONG = Augmentation(
    rotation_deg=15, scale=0.2, translation_mm=10, elastic_mm=4, mirror=True, noise_hu=20
)
LATTICE = Lattice.centred((0.0, 0.0, 0.0), 2.0, (32, 36, 40))
SCAN = Lattice.centred((30.0, -40.0, 500.0), 2.0, (64, 64, 64))
SEEDS = st.integers(0, 10_000)


def blob(point, sigma=3.0):
    """A bright Gaussian at a point of the scan."""
    distance = np.linalg.norm(voxel_points(SCAN) - point, axis=-1)
    return np.rint(1000 * np.exp(-0.5 * (distance / sigma) ** 2)).astype(np.int16)


def map_of(seed, augmentation=STRONG):
    target = np.array([30.0, -40.0, 500.0])
    return random_map(LATTICE, target, augmentation, np.random.default_rng(seed))


@given(SEEDS, st.tuples(*[st.floats(-12, 12)] * 3))
@settings(max_examples=15, deadline=None)
def test_a_landmark_goes_where_the_image_content_goes(seed, offset):
    point = np.array([30.0, -40.0, 500.0]) + offset
    spatial = map_of(seed)
    image = sample_volume(blob(point), SCAN, spatial.scan_points(), order=1, outside=0.0)
    assert image.max() > 700
    found = scipy.ndimage.center_of_mass(np.where(image > 400, image, 0))[::-1]
    stated = LATTICE.index(spatial.sample_points(point[None]))[0]
    assert np.abs(found - stated).max() < 0.3  # voxels of 2 mm; half a voxel would be a mistake


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_inverse_undoes_the_map_at_every_voxel(seed):
    spatial = map_of(seed)
    inner = (slice(4, -4, 5),) * 3
    scan = np.moveaxis(spatial.scan_points(), 0, -1)[inner].reshape(-1, 3).astype(np.float64)
    back = spatial.sample_points(scan)
    assert np.abs(back - voxel_points(LATTICE)[inner].reshape(-1, 3)).max() < 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_the_inverse_holds_for_every_configuration(name):
    for config in CONFIGS[name].values():
        lattice = Lattice.centred((0.0, 0.0, 0.0), config.spacing_mm, config.sample_size)
        spatial = random_map(lattice, np.zeros(3), config.augmentation, np.random.default_rng(3))
        inner = tuple(slice(n // 5, -n // 5, max(1, n // 4)) for n in lattice.shape)
        scan = np.moveaxis(spatial.scan_points(), 0, -1)[inner].reshape(-1, 3).astype(np.float64)
        wanted = voxel_points(lattice)[inner].reshape(-1, 3)
        assert np.abs(spatial.sample_points(scan) - wanted).max() < 0.1 * config.spacing_mm


def test_without_augmentation_the_sample_is_the_scan_around_the_target():
    target = SCAN.point((30.0, 28.0, 33.0))
    lattice = Lattice.centred((0.0, 0.0, 0.0), 2.0, (5, 7, 9))
    spatial = random_map(lattice, target, NOTHING, np.random.default_rng(0))
    volume = np.random.default_rng(1).integers(-900, 900, SCAN.shape).astype(np.int16)
    image = sample_volume(volume, SCAN, spatial.scan_points(), order=1, outside=0.0)
    assert np.abs(image - volume[29:38, 25:32, 28:33]).max() < 0.1
    assert spatial.sample_points(target[None])[0] == pytest.approx([0, 0, 0], abs=1e-9)


def test_scaling_enlarges_the_image_by_up_to_its_range():
    """A scan distance of 1 mm becomes scale mm in the sample, the same along all axes."""
    found = []
    for seed in range(40):
        spatial = map_of(seed, Augmentation(rotation_deg=0, scale=0.2))
        points = spatial.sample_points(np.array([[30.0, -40.0, 500.0]]) + 10 * np.eye(3))
        sizes = np.diag(points) / 10
        assert sizes == pytest.approx(np.full(3, sizes[0]))
        found.append(sizes[0])
    assert 0.8 <= min(found) < 0.85
    assert 1.15 < max(found) <= 1.2


def test_rotations_and_translations_stay_in_their_ranges():
    turning, moving = Augmentation(scale=0.0), replace(NOTHING, translation_mm=10.0)
    rotations = [map_of(seed, turning).matrix for seed in range(40)]
    for matrix in rotations:
        assert matrix @ matrix.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)
    angles = [np.rad2deg(np.arccos(matrix.diagonal())) for matrix in rotations]
    assert 10 < np.max(angles) < 15 * 2**0.5 + 1e-6  # two axes' rotations move the third
    shifts = np.array([map_of(seed, moving).target for seed in range(40)]) - (30, -40, 500)
    assert 8 < np.abs(shifts).max() <= 10
    assert np.abs(shifts.mean(axis=0)).max() < 4


def test_mirroring_swaps_left_and_right_on_half_of_the_samples():
    flips = 0
    for seed in range(40):
        spatial = map_of(seed, replace(NOTHING, mirror=True))
        (found,) = spatial.sample_points(np.array([[40.0, -35.0, 507.0]]))
        assert np.abs(found) == pytest.approx([10, 5, 7])
        assert found[1:] == pytest.approx([5, 7])
        flips += found[0] < 0
    assert 10 <= flips <= 30


def test_elastic_displacement_is_bounded_and_smooth():
    for seed in range(5):
        spatial = map_of(seed, replace(NOTHING, elastic_mm=8.0))
        moved = np.moveaxis(spatial.scan_points(), 0, -1) - (30, -40, 500) - voxel_points(LATTICE)
        assert 0.5 < np.abs(moved).max() <= 8.0
        for axis in range(3):
            assert np.abs(np.diff(moved, axis=axis)).max() < 1.0  # mm per voxel of 2 mm


def test_outside_the_scan_and_for_labels():
    labels = np.full(SCAN.shape, 7, np.uint8)
    lattice = Lattice.centred((0.0, 0.0, 0.0), 2.0, (100, 4, 4))
    spatial = random_map(lattice, np.array([30.0, -40.0, 500.0]), NOTHING, np.random.default_rng(0))
    image = sample_volume(labels, SCAN, spatial.scan_points(), order=0, outside=-5.0)
    assert set(np.unique(image)) == {-5.0, 7.0}
    assert (image[:, :, 18:82] == 7).all()
    assert (image[:, :, :17] == -5).all()
    far = random_map(lattice, np.array([9e3, 0.0, 0.0]), NOTHING, np.random.default_rng(0))
    assert (sample_volume(labels, SCAN, far.scan_points(), order=1, outside=-1024.0) == -1024).all()


def test_labels_are_never_mixed():
    labels = np.random.default_rng(0).choice([0, 3, 20], SCAN.shape).astype(np.uint8)
    image = sample_volume(labels, SCAN, map_of(1).scan_points(), order=0, outside=0.0)
    assert set(np.unique(image)) == {0.0, 3.0, 20.0}


def test_intensities_without_change_are_hu_by_2048_clamped():
    hu = np.array([-3000, -1024, 0, 512, 9000], np.float32).reshape(1, 1, 5)
    found = change_intensities(hu, 1.0, NOTHING, np.random.default_rng(0))
    assert found.ravel().tolist() == [-1.0, -0.5, 0.0, 0.25, 1.0]
    assert found.dtype == np.float32


def test_intensity_scale_and_shift_stay_in_their_ranges():
    hu = np.array([0, 2048], np.float32).reshape(1, 1, 2)
    drawn = [
        change_intensities(hu, 1.0, Augmentation(), np.random.default_rng(s)).ravel()
        for s in range(60)
    ]
    shifts = np.array([low for low, _ in drawn])
    scales = np.array([high - low for low, high in drawn])
    assert -0.25 <= shifts.min() < -0.15
    assert 0.15 < shifts.max() <= 0.25
    assert 0.7499 <= scales.min() < 0.85
    assert 1.15 < scales.max() <= 1.2501


def test_grain_leaves_the_strength_of_noise_and_joins_neighbours():
    even = np.zeros((20, 20, 20), np.float32)
    plain = Augmentation(intensity_scale=0, intensity_shift=0, noise_hu=50)
    grained = Augmentation(intensity_scale=0, intensity_shift=0, noise_hu=50, noise_grain_mm=2.0)
    for strong, least, most in ((plain, -0.1, 0.1), (grained, 0.2, 1.0)):
        joined = []
        for seed in range(20):
            noise = change_intensities(even, 1.0, strong, np.random.default_rng(seed)) * 2048
            assert noise.std() < 55
            if noise.any():
                joined.append(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1])
        assert least < np.mean(joined) < most


def test_noise_and_blur_come_on_some_samples_only():
    edge = np.zeros((8, 8, 8), np.float32)
    edge[4:, 4:, 4:] = 1000
    noisy = Augmentation(intensity_scale=0, intensity_shift=0, noise_hu=50)
    blurred = Augmentation(intensity_scale=0, intensity_shift=0, blur_mm=3)
    for settings_ in (noisy, blurred):
        kept = [
            np.allclose(
                change_intensities(edge, 1.0, settings_, np.random.default_rng(s)), edge / 2048
            )
            for s in range(40)
        ]
        assert 8 <= sum(kept) <= 32
    for seed in range(20):
        noise = change_intensities(edge, 1.0, noisy, np.random.default_rng(seed)) - edge / 2048
        assert noise.std() * 2048 < 55


def test_the_given_volume_is_left_alone():
    hu = np.full((4, 4, 4), 100.0, np.float32)
    for seed in range(10):
        change_intensities(hu, 1.0, STRONG, np.random.default_rng(seed))
    assert (hu == 100).all()
