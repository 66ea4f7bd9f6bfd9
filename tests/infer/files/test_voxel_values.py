"""Padding is air; values that are no Hounsfield units are flagged or refused, each with what it looks like."""

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.invented_ct import SHAPE, invented_hu, outside_circle
from verse_infer.ct import to_source
from verse_infer.errors import InputError
from verse_infer.files.ct_reading import read_ct
from verse_infer.flags import FlagCode

PLAIN = {
    "measured": {},
    "rounded to 4": {"rounded": 4},
    "rounded to 24": {"rounded": 24},
    "without noise": {"noise": 0.0},
    "noisy": {"noise": 45.0},
}
#: Of the whole numbers that padding was seen to have, and others.
PADDING = (-32768, -10000, -3024, -2048, -2000, -1500, -600, -300)
PADDING += (2001, 3071, 4095, 10000, 31000, 32767, 40000, 62512, 65535, 1e30)
IN_TISSUE = (-200, -1, 0, 24, 500, 1000, 2000)


def read(values, tmp_path, dtype=None, axes="LPS"):
    """A CT through a file, and its HU in the order of the values."""
    values = np.asarray(values)
    dtype = dtype or (np.int16 if np.abs(values).max() < 2**15 else np.float32)
    affine = np.diag([-1.5, -1.5, 3.0, 1.0])
    image = nib.Nifti1Image(values.astype(dtype), affine)
    wanted = nib.orientations.axcodes2ornt(axes)
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), wanted)
    image.as_reoriented(turn).to_filename(tmp_path / "scan.nii")
    ct = read_ct(tmp_path / "scan.nii")
    back = nib.orientations.ornt_transform(wanted, nib.io_orientation(affine))
    hu = nib.orientations.apply_orientation(to_source(ct.hu, ct.source), back)
    return hu, {flag.code: flag for flag in ct.flags}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_ct_is_taken_as_it_is(tmp_path, kind):
    values = invented_hu(**PLAIN[kind])
    hu, flags = read(values, tmp_path)
    assert flags == {}
    assert np.array_equal(hu, values)


@pytest.mark.parametrize("rounded", [1, 24])
@pytest.mark.parametrize("value", PADDING)
def test_padding_outside_of_what_a_body_has_is_air(tmp_path, value, rounded):
    plain, outside = invented_hu(rounded=rounded), outside_circle()
    values = np.where(outside, value, plain.astype(np.float64))
    hu, flags = read(values, tmp_path)
    assert flags.keys() == {FlagCode.PADDING}
    assert flags[FlagCode.PADDING].value == np.clip(value, -70_000, 70_000)
    assert f"({outside.mean():.0%} of all voxels)" in flags[FlagCode.PADDING].message
    assert (hu[outside] == -1024).all()
    assert np.array_equal(hu[~outside], plain[~outside])


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SLA"])
@pytest.mark.parametrize("value", IN_TISSUE)
def test_padding_with_a_value_of_tissue_is_told_by_the_volumes_edges(tmp_path, value, axes):
    plain, outside = invented_hu(), outside_circle()
    hu, flags = read(np.where(outside, value, plain), tmp_path, axes=axes)
    assert flags.keys() == {FlagCode.PADDING}
    assert flags[FlagCode.PADDING].value == value
    assert (hu[outside] == -1024).all()
    # Voxels inside the body that happen to have the value are no padding.
    assert (plain[~outside] == value).any() or not -20 < value < 100
    assert (hu[~outside] != plain[~outside]).mean() < 1e-4


@pytest.mark.parametrize("value", [-1100, -1050, -1024, -1000, -900])
def test_constant_air_is_no_padding(tmp_path, value):
    values = np.where(outside_circle(), value, invented_hu())
    hu, flags = read(values, tmp_path)
    assert flags.keys() <= {FlagCode.LOW_VALUES_CLIPPED}
    assert np.array_equal(hu, np.maximum(values, -1024))


def test_common_tissue_is_no_padding(tmp_path):
    """Rounded to 50 HU, muscle has one value in a quarter of all voxels."""
    values = invented_hu(noise=2.0, rounded=50)
    assert (values == 50).mean() > 0.2
    hu, flags = read(values, tmp_path)
    assert flags == {}
    assert np.array_equal(hu, values)


SHAPES = {
    "small circle": outside_circle(radius=0.75),
    "large circle": outside_circle(radius=1.1),
    "slices above": np.broadcast_to(np.arange(SHAPE[2]) >= 38, SHAPE),
    "beside": np.broadcast_to((np.arange(SHAPE[0]) < 8)[:, None, None], SHAPE),
}


@pytest.mark.parametrize("value", [-3024, 3071, 62512])
@pytest.mark.parametrize("shape", SHAPES)
def test_padding_may_have_any_shape(tmp_path, shape, value):
    where = SHAPES[shape]
    assert where.mean() > 0.1
    hu, flags = read(np.where(where, float(value), invented_hu()), tmp_path)
    assert flags.keys() == {FlagCode.PADDING}
    assert (hu[where] == -1024).all()


def test_two_paddings_are_two_flags(tmp_path):
    values = invented_hu()
    values[outside_circle()] = -2000
    values[:, :, 38:] = 3071
    hu, _ = read(values, tmp_path)
    ct = read_ct(tmp_path / "scan.nii")
    assert [(f.code, f.value) for f in ct.flags] == [
        (FlagCode.PADDING, -2000),
        (FlagCode.PADDING, 3071),
    ]
    assert (hu[values == 3071] == -1024).all()


def test_metal_is_no_padding(tmp_path):
    values = invented_hu()
    values[30:33, 40:44, :] = 3071
    values[31, 41, :] = 30000
    hu, flags = read(values, tmp_path)
    assert flags == {}
    assert np.array_equal(hu, values)


OFFSETS = {"+1024": 1024, "+1000": 1000}
BEHIND = {
    "plain": None,
    "behind 0": 0,
    "behind -2000": -2000,
    "behind -3024": -3024,
    "behind 63536": 63536,
}


@pytest.mark.parametrize("rounded", [1, 24])
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("offset", OFFSETS)
def test_a_lost_offset_is_seen_behind_any_padding(tmp_path, offset, behind, rounded):
    values = invented_hu(rounded=rounded).astype(np.float64) + OFFSETS[offset]
    if BEHIND[behind] is not None:
        values[outside_circle()] = BEHIND[behind]
    hu, flags = read(values, tmp_path)
    assert "+1024" in flags[FlagCode.NO_NEGATIVE_VALUE].message
    assert flags.keys() <= {FlagCode.NO_NEGATIVE_VALUE, FlagCode.PADDING}
    kept = ~outside_circle() & (values != BEHIND[behind])
    assert np.array_equal(hu[kept], values[kept])  # nothing is shifted


def window(level, width):
    return lambda hu: np.clip(hu, level - width / 2, level + width / 2)


WINDOWS = {
    f"{level} ± {width / 2:g}": window(level, width)
    for level, width in (
        *((40, 400), (50, 350), (60, 400), (40, 250), (300, 1200), (400, 1500), (-600, 1500)),
        *((-500, 1400), (500, 2000), (0, 700), (150, 1000), (-100, 900), (100, 500)),
    )
}
SCALES = {
    **{f"times {f:g}": lambda hu, f=f: hu * f for f in (0.2, 0.25, 0.5, 0.8, 1.5, 2.0, 3.0)},
    "in a tenth": lambda hu: hu / 10,
    "inverted": lambda hu: -hu.astype(float),
    "-1024": lambda hu: hu - 1024,
    "0 to 1000": lambda hu: (hu + 1000) / 3,
    "-1000 to 0": lambda hu: (hu + 1000) / 3 - 1000,
}
ODD = {FlagCode.VALUES_CUT, FlagCode.VALUES_SCALED, FlagCode.NO_NEGATIVE_VALUE}


@pytest.mark.parametrize("padded", [None, -2000, 62512])
@pytest.mark.parametrize("kind", [*WINDOWS, *SCALES])
def test_windows_and_scales_are_told(tmp_path, kind, padded):
    values = (WINDOWS | SCALES)[kind](invented_hu().astype(np.float64))
    if padded is not None:
        values[outside_circle()] = padded
    _, flags = read(values, tmp_path)
    told = {code: flag for code, flag in flags.items() if code in ODD}
    assert told or "window" in flags[FlagCode.PADDING].message, flags
    assert all("?" in flag.message for flag in told.values())


NO_HU = {
    "8 bits": lambda hu: np.clip((hu + 160) / 400 * 255, 0, 255),
    "0 to 1": lambda hu: np.clip((hu + 1000) / 3000, 0, 1),
    "percent": lambda hu: np.clip((hu + 1000) / 30, 0, 100),
    "normalised": lambda hu: (hu - hu.mean()) / hu.std(),
    "thousands": lambda hu: hu / 1000,
    "16 bits": lambda hu: (hu - hu.min()) / np.ptp(hu) * 65535,
    "12 bits shifted left": lambda hu: (hu + 1024) * 16,
    "offset of 32768": lambda hu: hu + 32768.0,
    "unsigned": lambda hu: np.where(hu < 0, hu + 65536, hu),
    "of µ": lambda hu: (hu / 1000 + 1) * 0.2,
}


@pytest.mark.parametrize("padded", [None, -2000])
@pytest.mark.parametrize("kind", NO_HU)
def test_what_is_no_hu_at_all_is_refused_with_what_it_is(tmp_path, kind, padded):
    values = NO_HU[kind](invented_hu().astype(np.float64))
    if padded is not None:
        values[outside_circle()] = padded
    with pytest.raises(InputError, match="expected Hounsfield units") as caught:
        read(values, tmp_path, np.float32)
    assert "scan.nii" in str(caught.value)
    assert "got" in str(caught.value)
    looks = {"16 bits": "16 bits", "offset of 32768": "32768", "unsigned": "unsigned"}
    assert looks.get(kind, "") in str(caught.value)


def test_nothing_but_constants_is_refused(tmp_path):
    values = np.where(outside_circle(), -2000, 3000)
    with pytest.raises(InputError, match="nothing but the values -2000, 3000"):
        read(values, tmp_path)
