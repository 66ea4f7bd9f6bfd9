from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.training_cases import BACKGROUND_HU, VERTEBRA_HU, ball_case
from tests.helpers.trainings import NOTHING
from tests.helpers.trainings import config_of as small_config
from verse_infer.anatomy import LABELS, label_of
from verse_infer.errors import InputError
from verse_infer.grid import Lattice
from verse_infer.weights import STAGES, Crop
from verse_train.config import CONFIGS
from verse_train.data.fields_of_view import (
    OUTSIDE_HU,
    around_spine,
    cut_field_of_view,
    narrowed,
    without_spine,
)
from verse_train.data.samples import (
    MAX_IGNORED,
    draw_sample,
)

SEEDS = st.integers(0, 10_000)
NAMES = ("T11", "T12", "L1", "L2", "L3")
BONE = VERTEBRA_HU / 2048


def config_of(stage, augmentation=NOTHING, spacing=4.0, size=(32, 32, 48), **other):
    usual = {"spacing_mm": spacing, "sample_size": size, "augmentation": augmentation}
    return small_config(stage, 1, **usual, **other)


def drawn(case, config, seed=0):
    return draw_sample(case, config, np.random.default_rng(seed))


@pytest.mark.parametrize("stage", CONFIGS["compact"])
def test_a_sample_depends_on_the_seed_alone(stage):
    config = replace(CONFIGS["compact"][stage], sample_size=(16, 16, 16))
    one, again, other = (drawn(ball_case(), config, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.target, again.target)
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stage", CONFIGS["compact"])
def test_shapes_and_types_are_those_of_the_networks(name, stage):
    config = replace(CONFIGS[name][stage], sample_size=(16, 32, 48), small_crops=())
    sample = drawn(ball_case(), config)
    channels = 2 if stage == "vertebra_segmentation" else 1
    assert sample.image.shape == (48, 32, 16, channels)
    assert sample.target.shape == (
        (len(LABELS) + MAX_IGNORED, 4) if stage == "vertebra_localisation" else (48, 32, 16, 1)
    )
    assert sample.image.dtype == sample.target.dtype == np.float32


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_landmark_rows_lie_on_their_vertebrae_in_the_image(seed):
    augmentation = replace(NOTHING, rotation_deg=15, scale=0.15, mirror=True, elastic_mm=6)
    config = config_of("vertebra_localisation", augmentation, size=(48, 48, 64))
    sample = drawn(ball_case(), config, seed)
    rows = sample.target[: len(LABELS)]
    present = {LABELS[i] for i in np.flatnonzero(rows[:, 3])}
    assert present == {label_of(name) for name in NAMES}
    for x, y, z, _ in rows[rows[:, 3] > 0]:
        value = scipy.ndimage.map_coordinates(
            sample.image[..., 0], [[z], [y], [x]], order=1, mode="constant", cval=BONE
        )
        assert value == pytest.approx(BONE, abs=0.02)


def test_rows_are_in_voxels_x_y_z_and_absent_ones_are_zero():
    case = ball_case()
    config = config_of("vertebra_localisation")
    rows = drawn(case, config).target
    lattice = Lattice.centred((0.0, 0.0, 0.0), 4.0, config.sample_size)
    inner = rows[LABELS.index(label_of("T12"))], rows[LABELS.index(label_of("L2"))]
    points = {c.label: np.array(c.point) for c in case.centroids}
    step = points[label_of("L2")] - points[label_of("T12")]
    assert (inner[1] - inner[0])[:3] * 4.0 == pytest.approx(step, abs=1e-3)
    middle = rows[LABELS.index(label_of("L1"))]
    assert middle[:2] == pytest.approx(lattice.index((0.0, 0.0, 0.0))[:2], abs=1e-4)
    assert (rows[rows[:, 3] == 0] == 0).all()


def test_cut_vertebrae_are_points_to_ignore_and_no_targets():
    rows = drawn(ball_case(cut=("T11", "L3")), config_of("vertebra_localisation")).target
    assert rows[: len(LABELS), 3].sum() == 3
    assert rows[len(LABELS) :, 3].sum() == 2
    assert rows[LABELS.index(label_of("T11")), 3] == 0


def test_more_cut_vertebrae_than_rows_are_no_error():
    names = [f"T{i}" for i in range(1, 13)]
    case = ball_case(names, size=(16, 16, 100), cut=names[:10])
    rows = drawn(case, config_of("vertebra_localisation")).target
    assert rows[len(LABELS) :, 3].sum() == MAX_IGNORED


def test_the_middle_of_a_stage_2_sample_wanders_along_a_long_scan():
    case = ball_case([f"T{i}" for i in range(1, 13)], size=(16, 16, 110))
    config = config_of("vertebra_localisation", size=(16, 16, 32))
    heights = [
        drawn(case, config, seed).target[LABELS.index(label_of("T6")), 2] for seed in range(30)
    ]
    assert np.ptp(heights) > 40  # voxels of 4 mm
    for seed in range(30):
        assert (drawn(case, config, seed).image > OUTSIDE_HU / 2048).any()


@given(SEEDS)
@settings(max_examples=8, deadline=None)
def test_the_spine_heatmap_is_one_at_every_vertebra_and_falls_by_sigma(seed):
    augmentation = replace(NOTHING, rotation_deg=10, mirror=True)
    sample = drawn(ball_case(), config_of("spine_localisation", augmentation, sigma=2.0), seed)
    heatmap = sample.target[..., 0]
    assert 0.9 < heatmap.max() <= 1.0
    vertebrae = scipy.ndimage.label(sample.image[..., 0] > 0.9 * BONE)[0]
    for piece in scipy.ndimage.center_of_mass(
        vertebrae > 0, vertebrae, range(1, vertebrae.max() + 1)
    ):
        place = tuple(np.rint(piece).astype(int))
        assert heatmap[place] > 0.75
        k, j, _ = place
        assert heatmap[k, j].min() < 0.01  # far to the side


def test_without_vertebrae_the_spine_heatmap_is_empty():
    case = replace(ball_case(), centroids=(), cut=())
    assert not drawn(case, config_of("spine_localisation")).target.any()
    assert not drawn(case, config_of("vertebra_localisation")).target.any()


def test_the_spine_runs_through_cut_vertebrae():
    whole, cut = (
        drawn(ball_case(cut=names), config_of("spine_localisation")).target
        for names in ((), ("T11", "L1", "L3"))
    )
    assert np.array_equal(whole, cut)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_segmentation_sample_shows_one_vertebra_and_its_gaussian(seed):
    augmentation = replace(NOTHING, rotation_deg=15, mirror=True, translation_mm=8)
    config = config_of("vertebra_segmentation", augmentation, 2.0, (48, 48, 48))
    sample = drawn(ball_case(), config, seed)
    target, gaussian = sample.target[..., 0] > 0, sample.image[..., 1]
    assert set(np.unique(sample.target)) == {0.0, 1.0}
    assert target.sum() * 8 == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.4)
    assert gaussian.max() == pytest.approx(1, abs=0.05)
    top = np.unravel_index(gaussian.argmax(), gaussian.shape)
    assert np.linalg.norm(np.array(scipy.ndimage.center_of_mass(target)) - top) < 1.5
    # Other balls are in view, but not in the target.
    bone = sample.image[..., 0] > (VERTEBRA_HU + BACKGROUND_HU) / 2 / 2048
    assert bone.sum() > 1.3 * target.sum()
    assert (bone & target).sum() == pytest.approx(target.sum(), rel=0.02)
    assert (sample.image[..., 0][scipy.ndimage.binary_erosion(target, iterations=2)] > 0.3).all()


def test_jitter_moves_the_shown_centroid_off_the_true_one():
    config = config_of("vertebra_segmentation", NOTHING, 2.0, (32, 32, 32), centroid_jitter_mm=2.5)
    offsets = []
    for seed in range(30):
        sample = drawn(ball_case(), config, seed)
        gaussian = np.unravel_index(sample.image[..., 1].argmax(), (32, 32, 32))
        offsets.append(
            2.0 * (np.array(scipy.ndimage.center_of_mass(sample.target[..., 0])) - gaussian)
        )
    deviation = np.std(offsets)
    assert 1.5 < deviation < 3.5


def test_a_segmentation_sample_may_lie_beside_its_centroid():
    config = config_of("vertebra_segmentation", NOTHING, 2.0, (32, 32, 32))
    moved = replace(config, crop_offset_mm=(2.0, 8.0, -6.0))
    plain, beside = drawn(ball_case(), config), drawn(ball_case(), moved)
    # The sample's middle moves by +1, +4, -3 voxels, so that what it shows moves the other way.
    for image in (plain.image[..., 0], plain.image[..., 1], plain.target[..., 0]):
        assert image.std() > 0
    assert np.allclose(beside.image[3:, :-4, :-1], plain.image[:-3, 4:, 1:], atol=1e-4)
    assert np.array_equal(beside.target[3:, :-4, :-1], plain.target[:-3, 4:, 1:])


def test_a_small_vertebra_has_its_own_crop():
    config = config_of("vertebra_segmentation", NOTHING, 2.0, (32, 32, 32))
    crop = Crop((16, 32, 48), (0.0, 0.0, -4.0), labels=(label_of("L1"),))
    mixed = replace(config, small_crops=(crop,))
    for seed in range(8):
        whole, sample = drawn(ball_case(), config, seed), drawn(ball_case(), mixed, seed)
        if sample.image.shape == (32, 32, 32, 2):
            assert np.array_equal(sample.image, whole.image)
            continue
        assert sample.image.shape == (48, 32, 16, 2)
        assert sample.target.shape == (48, 32, 16, 1)
        # 8 slices more at each end, 2 slices lower: slice 0 of the whole one is slice 10 of this.
        assert np.allclose(sample.image[10:42], whole.image[..., 8:24, :], atol=1e-4)
        assert np.array_equal(sample.target[10:42], whole.target[..., 8:24, :])
        break
    else:
        pytest.fail("no sample of L1")


def test_without_a_mask_there_is_no_segmentation_sample():
    with pytest.raises(InputError, match="balls: expected a mask"):
        drawn(replace(ball_case(), mask=None), config_of("vertebra_segmentation"))


def test_without_a_whole_vertebra_there_is_no_segmentation_sample():
    with pytest.raises(InputError, match="balls: expected a whole vertebra"):
        drawn(ball_case(cut=NAMES), config_of("vertebra_segmentation"))


LONG = ball_case([f"T{i}" for i in range(1, 13)], size=(16, 16, 110))


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_cut_scan_keeps_only_vertebrae_far_enough_from_its_ends(seed):
    cut = cut_field_of_view(LONG, np.random.default_rng(seed))
    z = LONG.lattice.origin[2] + 4.0 * np.arange(len(LONG.hu))
    low, high = cut.lattice.corners()[[0, -1], 2]
    assert np.array_equal(cut.hu, LONG.hu[(z >= low) & (z <= high)])
    distance = np.linalg.norm((2.0, 3.0, 30.0))
    for centroid in LONG.centroids:
        margin = min(centroid.point[2] - low, high - centroid.point[2])
        if margin > 0.9 * distance + 4:
            assert centroid in cut.centroids
        elif margin < 0.5 * distance - 4 and (low > z[0] or high < z[-1]):
            assert centroid not in cut.centroids + cut.cut
    assert not set(cut.centroids) & set(cut.cut)
    assert high - low > 70


def test_scans_are_cut_at_the_top_the_bottom_both_or_not_at_all():
    kinds = set()
    for seed in range(40):
        ends = cut_field_of_view(LONG, np.random.default_rng(seed)).lattice.corners()[[0, -1], 2]
        kinds.add(tuple(ends == LONG.lattice.corners()[[0, -1], 2]))
    assert len(kinds) == 4


def test_a_scan_of_one_vertebra_is_not_cut():
    case = ball_case(("L1",))
    for seed in range(10):
        assert cut_field_of_view(case, np.random.default_rng(seed)) is case


@pytest.mark.parametrize("whole", [0, 1])
def test_a_scan_of_mostly_cut_vertebrae_can_be_cut(whole):
    case = ball_case(NAMES, cut=NAMES[whole:])
    for seed in range(10):
        again = cut_field_of_view(case, np.random.default_rng(seed))
        assert set(again.centroids) <= set(case.centroids)
        assert set(again.cut) <= {*case.centroids, *case.cut}


def test_the_order_of_the_centroids_in_the_file_does_not_matter():
    """VerSe files are ordered by label, so T13 (28) comes after L5 (24)."""
    case = ball_case(("T11", "T12", "T13", "L1", "L2", "L3"), size=(24, 22, 60))
    by_label = replace(case, centroids=tuple(sorted(case.centroids, key=lambda c: c.label)))
    assert by_label.centroids != case.centroids
    for seed in range(20):
        one, other = (cut_field_of_view(c, np.random.default_rng(seed)) for c in (case, by_label))
        assert set(one.centroids) == set(other.centroids)
        assert set(one.cut) == set(other.cut)


def wide_ball_case():
    """Balls in the middle of a body with room on all sides; its place in the scan in its values."""
    case = ball_case(("L3", "L4", "L5"), size=(60, 50, 110))
    z, y, x = np.indices(case.hu.shape)
    return replace(case, hu=(z + 100 * y).astype(np.int16) + np.int16(5000) * (x > 30))


def test_a_part_without_spine_has_no_vertebra_and_lies_where_it_lay():
    case = wide_ball_case()
    seen = set()
    for seed in range(40):
        part = without_spine(case, np.random.default_rng(seed))
        assert part.centroids == part.cut == ()
        assert not part.mask.any()
        origin = np.rint(case.lattice.index(part.lattice.origin)).astype(int)
        i, j, k = origin
        size = part.lattice.size
        same = case.hu[k : k + size[2], j : j + size[1], i : i + size[0]]
        assert np.array_equal(part.hu, same)
        assert min(np.multiply(size, part.lattice.spacing)) >= 40
        seen.add((tuple(origin), size))
    assert len(seen) == 4  # right, left, front, below


def test_a_scan_without_room_beside_the_spine_has_no_part_without_it():
    assert without_spine(ball_case(), np.random.default_rng(0)) is None


@pytest.mark.parametrize("stage", STAGES[:2])
def test_a_share_of_the_samples_shows_no_spine(stage):
    config = config_of(stage, replace(NOTHING, spineless=0.5), 8.0, (32, 32, 48))
    empty = [not drawn(wide_ball_case(), config, seed).target.any() for seed in range(40)]
    assert 10 < sum(empty) < 30
    usual = config_of(stage, NOTHING, 8.0, (32, 32, 48))
    assert drawn(wide_ball_case(), usual).target.any()


def test_a_view_of_the_spine_alone_keeps_all_of_it_where_it_lay():
    case = wide_ball_case()
    shapes = set()
    for seed in range(20):
        view = around_spine(case, np.random.default_rng(seed))
        assert (view.centroids, view.cut) == (case.centroids, case.cut)
        assert (view.mask > 0).sum() == (case.mask > 0).sum()
        assert len(view.hu) == len(case.hu)
        k, j, i = np.rint(case.lattice.index(view.lattice.origin)).astype(int)[::-1]
        x, y, z = view.lattice.size
        assert np.array_equal(view.hu, case.hu[k : k + z, j : j + y, i : i + x])
        assert view.hu.shape[1] < case.hu.shape[1] or view.hu.shape[2] < case.hu.shape[2]
        shapes.add(view.hu.shape)
    assert len(shapes) > 10


def test_a_share_of_the_samples_shows_little_beside_the_spine():
    config = config_of("spine_localisation", NOTHING, 8.0, (32, 32, 48))
    views = replace(config, augmentation=replace(NOTHING, spine_views=0.5))
    air = [(drawn(wide_ball_case(), views, seed).image <= -0.5).mean() for seed in range(40)]
    whole = (drawn(wide_ball_case(), config).image <= -0.5).mean()
    assert 10 < sum(share > whole + 0.01 for share in air) < 30


def test_a_narrow_view_holds_the_whole_vertebra_where_it_lay():
    case = wide_ball_case()
    own = (case.mask == label_of("L4")).astype(np.uint8)
    sizes = set()
    for seed in range(10):
        view = narrowed(case, own, np.random.default_rng(seed))
        assert (view.mask == label_of("L4")).sum() == own.sum()
        k, j, i = np.rint(case.lattice.index(view.lattice.origin)).astype(int)[::-1]
        x, y, z = view.lattice.size
        assert np.array_equal(view.hu, case.hu[k : k + z, j : j + y, i : i + x])
        sizes.add(view.hu.shape)
        extent = np.array(view.hu.shape) * 4.0
        assert (extent <= 2 * 9.0 + 2 * 50.0 + 8).all()
    assert len(sizes) > 5


def test_a_segmentation_sample_may_have_a_narrow_view_and_keeps_its_target():
    usual = config_of("vertebra_segmentation", NOTHING, 2.0, (48, 48, 48))
    narrow = replace(usual, augmentation=replace(NOTHING, narrow_views=1.0))
    plain, viewed = drawn(ball_case(), usual, 3), drawn(ball_case(), narrow, 3)
    assert np.array_equal(plain.target, viewed.target)
    air = OUTSIDE_HU / 2048
    assert (viewed.image[..., 0] <= air).sum() > (plain.image[..., 0] <= air).sum()
    inside = plain.target[..., 0] > 0
    assert np.allclose(plain.image[inside], viewed.image[inside])
