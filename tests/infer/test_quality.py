from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from verse_infer.anatomy import MEAN_OFFSETS_MM, label_of, name_of
from verse_infer.ct import Centroid, Ct
from verse_infer.flags import FlagCode
from verse_infer.grid import Lattice
from verse_infer.quality import implausible, left_out, missing_slices, uncertain, uneven_steps
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


def column(names="T4 T5 T6 T7 T8 T9 T10 T11 T12 L1 L2 L3", size=1.0, seed=None, noise=0.8):
    """Centroids at mean offsets from each other, times the patient's size, with some noise in mm."""
    rng, place, found = np.random.default_rng(seed), np.array([5.0, -20.0, 400.0]), []
    labels = [label_of(name) for name in names.split()]
    for above, label in zip([None, *labels], labels, strict=False):
        if above is not None:
            place = place + size * np.array(MEAN_OFFSETS_MM[above, label])
        spread = 0.0 if seed is None else rng.normal(0, noise, 3)
        found.append(Centroid(label, tuple((place + spread).tolist()), 0.8))
    return found


def named_on(found, passed):
    """The same bodies named in sequence after one of them was passed over."""
    kept = [c for number, c in enumerate(found) if number != passed]
    return [Centroid(a.label, b.point, 0.8) for a, b in zip(found, kept, strict=False)]


SPINES = (
    "C2 C3 C4 C5 C6 C7 T1 T2",
    "C1 C2 C3 C4",
    "T4 T5 T6 T7 T8 T9 T10 T11 T12 L1 L2 L3",
    "T10 T11 L1 L2 L3 L4",
    "T12 T13 L1 L2",
    "L1 L2 L3 L4 L5 L6",
)


@pytest.mark.parametrize("size", [0.85, 1.0, 1.2])
@pytest.mark.parametrize("names", SPINES)
def test_even_spines_get_no_flag(names, size):
    for seed in range(10):
        assert list(uneven_steps(column(names, size, seed))) == []


@pytest.mark.parametrize("passed", [1, 3, 5, 9])
@pytest.mark.parametrize("size", [0.9, 1.15])
def test_a_vertebra_passed_over_is_flagged_where_it_is_missing(passed, size):
    found = named_on(column(size=size, seed=passed), passed)
    (flag,) = uneven_steps(found)
    assert flag.code == FlagCode.STEP_IMPLAUSIBLE
    above, below = name_of(found[passed - 1].label), name_of(found[passed].label)
    assert f"{above} and {below} are " in flag.message
    assert 1.36 < flag.value < 2.3


def test_two_centroids_in_one_vertebra_are_flagged():
    found = column(seed=3)
    x, y, z = found[4].point
    twice = [*found[:5], Centroid(found[5].label, (x, y + 1, z - 9), 0.7), *found[6:]]
    flags = list(uneven_steps(twice))
    assert {flag.code for flag in flags} == {FlagCode.STEP_IMPLAUSIBLE}
    assert any("slices missing, or one taken for two" in flag.message for flag in flags)


@pytest.mark.parametrize("millimetres", [10, 12, 15, 30])
def test_a_block_of_slices_that_is_missing_shortens_a_step(millimetres):
    found = column(seed=1)
    moved = [
        Centroid(c.label, (*c.point[:2], c.point[2] + millimetres * (number > 5)), 0.8)
        for number, c in enumerate(found)
    ]
    assert FlagCode.STEP_IMPLAUSIBLE in {flag.code for flag in uneven_steps(moved)}


def test_a_shift_aside_between_two_stacks_is_flagged():
    found = column(seed=1)
    aside = [
        Centroid(c.label, (c.point[0] + 30 * (number > 5), *c.point[1:]), 0.8)
        for number, c in enumerate(found)
    ]
    (flag,) = uneven_steps(aside)
    assert "T9 and T10" in flag.message


@pytest.mark.parametrize("factor", [0.5, 0.6, 1.5, 2.0])
def test_a_spacing_that_is_wrong_is_told_by_the_size(factor):
    (flag,) = uneven_steps(column(size=factor, seed=2))
    assert flag.code == FlagCode.SIZE_IMPLAUSIBLE
    assert flag.value == pytest.approx(factor, rel=0.1)
    assert "a child, or a wrong spacing" in flag.message


def test_a_gap_between_names_counts_with_all_its_vertebrae():
    found = column(seed=4)
    del found[4:6]
    assert list(uneven_steps(found)) == []


def test_few_vertebrae_are_compared_with_an_adults():
    assert list(uneven_steps(column("L1 L2"))) == []
    assert list(uneven_steps([])) == []
    (flag,) = uneven_steps(column("L1 L2", size=1.8))
    assert flag.code == FlagCode.STEP_IMPLAUSIBLE


def body(slices, spacing=(2.0, 2.0, 2.0), seed=0, noise=20.0):
    """A body that changes smoothly, as anatomy does over some 8 mm, and a spine through its middle."""
    rng = np.random.default_rng(seed)
    smooth = [8.0 / spacing[2], 8.0 / spacing[1], 8.0 / spacing[0]]
    field = scipy.ndimage.gaussian_filter(rng.standard_normal((slices, 70, 70)), smooth)
    hu = 50 + 150 * field / field.std() + rng.normal(0, noise, field.shape)
    lattice = Lattice((-70.0, -70.0, 0.0), spacing, (70, 70, slices))
    length = slices * spacing[2]
    found = [
        Centroid(20 + n, (0.0, 0.0, z), 0.8)
        for n, z in enumerate(np.linspace(length - 20, 20, 5).tolist())
    ]
    return Ct(hu.astype(np.int16), lattice), found


def without(ct, first, number):
    """The header as if nothing was missing."""
    hu = np.delete(ct.hu, np.arange(first, first + number), axis=0)
    x, y, _ = ct.lattice.size
    return replace(ct, hu=hu, lattice=replace(ct.lattice, size=(x, y, len(hu))))


SPACINGS = {1.0: 200, 2.0: 100, 3.0: 60, 5.0: 40}


@pytest.mark.parametrize("z_mm", SPACINGS)
def test_a_whole_body_has_no_missing_slices(z_mm):
    for seed in range(4):
        assert list(missing_slices(*body(SPACINGS[z_mm], (2.0, 2.0, z_mm), seed))) == []


@pytest.mark.parametrize("z_mm", SPACINGS)
@pytest.mark.parametrize("missing_mm", [10, 15, 25, 40])
@pytest.mark.parametrize("where", [0.3, 0.45, 0.6])
def test_missing_slices_are_flagged_where_they_are_missing(z_mm, missing_mm, where):
    ct, found = body(SPACINGS[z_mm], (2.0, 2.0, z_mm))
    first = round(where * SPACINGS[z_mm])
    (flag,) = missing_slices(without(ct, first, round(missing_mm / z_mm)), found)
    assert flag.code == FlagCode.SLICES_MISSING
    assert f"z {(first - 0.5) * z_mm:.0f} mm" in flag.message
    assert flag.value > 1.4


def test_one_slice_of_noise_or_metal_is_no_missing_one():
    ct, found = body(100)
    ct.hu[50] += np.random.default_rng(1).integers(-500, 500, ct.hu.shape[1:]).astype(np.int16)
    ct.hu[30:33, 30:40, 30:40] = 3000
    assert list(missing_slices(ct, found)) == []


def test_too_short_for_a_comparison():
    ct, found = body(9)
    assert list(missing_slices(ct, found)) == []
    assert list(missing_slices(ct, found[:1])) == []


@pytest.mark.parametrize("name", ["L3", "L4", "S1 is none, so L5"])
def test_a_clear_response_that_is_none_of_the_result_is_flagged(name):
    """The sequence rule takes each name once: of two bodies called alike it leaves one out."""
    found = column("T12 L1 L2 L3 L4")
    x, y, z = found[-1].point
    lost = Centroid(label_of(name[-2:]), (x, y + 4, z - 31), 0.65)
    (flag,) = left_out([*found, lost], found)
    assert flag.code == FlagCode.VERTEBRA_LEFT_OUT
    assert flag.value == 0.65
    assert f"to {name[-2:]}, 31 mm below L4, left out" in flag.message


def test_other_names_for_a_body_faint_echoes_and_nothing_found_are_no_reason():
    found = column("T12 L1 L2 L3 L4")
    x, y, z = found[2].point
    other_name = Centroid(label_of("L3"), (x + 3, y, z - 4), 0.7)
    faint = Centroid(label_of("L5"), (x, y, z - 90), 0.3)
    assert list(left_out([*found, other_name, faint], found)) == []
    assert list(left_out(found, [])) == []


def test_two_names_for_one_lost_body_are_one_flag():
    found = column("T12 L1 L2")
    x, y, z = found[-1].point
    lost = [Centroid(label_of(n), (x, y, z - 32 - d), 0.6) for n, d in (("L3", 0), ("L4", 3))]
    assert len(list(left_out([*found, *lost], found))) == 1


@pytest.mark.parametrize("kind", ["repeated", "turned over", "of another series"])
def test_slices_in_a_wrong_order_jump_too(kind):
    ct, found = body(100)
    other, _ = body(100, seed=9)
    hu = {
        "repeated": lambda: np.concatenate([ct.hu[:60], ct.hu[40:80]]),
        "turned over": lambda: np.concatenate([ct.hu[:40], ct.hu[40:60][::-1], ct.hu[60:]]),
        "of another series": lambda: np.concatenate([ct.hu[:50], other.hu[50:]]),
    }[kind]()
    flags = list(missing_slices(replace(ct, hu=hu), found))
    assert {flag.code for flag in flags} == {FlagCode.SLICES_MISSING}
