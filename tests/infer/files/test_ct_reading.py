import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verse_infer.ct import SourceGeometry, from_source, to_source
from verse_infer.errors import InputError
from verse_infer.files.ct_reading import read_ct
from verse_infer.flags import Flag, FlagCode
from verse_infer.grid import GridGeometry, Lattice

ORIENTATIONS = [
    np.array(list(zip(axes, flips, strict=True)), float)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


def asymmetric(shape=(7, 8, 9), affine=None):
    """A volume without any symmetry, oblique and anisotropic."""
    values = np.random.default_rng(0).integers(-1000, 2000, shape).astype(np.int16)
    if affine is None:
        c, s = np.cos(0.2), np.sin(0.2)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        affine = np.eye(4)
        affine[:3, :3] = turn @ np.diag([1.0, 2.0, 3.0])
        affine[:3, 3] = 5, -6, 7
    return nib.Nifti1Image(values, affine)


@pytest.fixture
def saved(tmp_path):
    def save(image, name="scan.nii"):
        path = tmp_path / name
        image.to_filename(path)
        return path

    return save


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_all_48_orientations_give_the_same_ct(saved, orientation):
    image = asymmetric()
    reference = read_ct(saved(image))
    turned = image.as_reoriented(orientation)
    ct = read_ct(saved(turned, "turned.nii.gz"))
    assert np.array_equal(ct.hu, reference.hu)
    for name in ("origin", "spacing", "direction"):
        assert getattr(ct.lattice, name) == pytest.approx(
            getattr(reference.lattice, name), abs=1e-4
        )
    assert np.array_equal(to_source(ct.hu, ct.source), np.asarray(turned.dataobj))
    assert np.array_equal(from_source(to_source(ct.hu, ct.source), ct.source), ct.hu)


def test_a_voxel_keeps_its_place_in_space(saved):
    image = asymmetric()
    ct = read_ct(saved(image))
    x, y, z, _ = image.affine @ [1, 2, 3, 1]
    i, j, k = np.rint(ct.lattice.index((-x, -y, z))).astype(int)
    assert ct.hu[k, j, i] == np.asarray(image.dataobj)[1, 2, 3]
    assert ct.lattice.point((i, j, k)) == pytest.approx((-x, -y, z), abs=1e-4)


@pytest.mark.parametrize(
    ("dtype", "slope", "inter"),
    [(np.int16, 1, 0), (np.uint16, 1, -1024), (np.float32, 2, -1000), (np.float64, 1, 0)],
)
def test_stored_types_and_scaling_become_hounsfield_units(saved, dtype, slope, inter):
    image = asymmetric()
    hu = np.asarray(image.dataobj).astype(float)
    stored = (hu - inter) / slope
    scaled = nib.Nifti1Image(stored.astype(dtype), image.affine)
    scaled.header.set_slope_inter(slope, inter)
    ct = read_ct(saved(scaled))
    expected = np.rint(stored.astype(dtype).astype(float) * slope + inter)
    assert np.array_equal(to_source(ct.hu, ct.source), expected)


def test_slight_shear_is_repaired_and_flagged(saved):
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[0, 2] = 2 * np.tan(np.deg2rad(1.0))
    ct = read_ct(saved(asymmetric((20, 20, 20), affine)))
    (flag,) = ct.flags
    assert flag.code == FlagCode.DIRECTION_REPAIRED
    assert f"{flag.value:.2f}° from perpendicular" in flag.message
    direction = np.reshape(ct.lattice.direction, (3, 3))
    assert direction @ direction.T == pytest.approx(np.eye(3), abs=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("mm", "thick"), [(5.0, False), (6.0, False), (6.5, True), (8, True), (15, True)]
)
def test_thick_slices_are_flagged_along_whichever_axis(saved, axis, mm, thick):
    spacing = np.ones(3)
    spacing[axis] = mm
    flags = read_ct(saved(asymmetric(affine=np.diag([*spacing, 1.0])))).flags
    values = [flag.value for flag in flags if flag.code == FlagCode.THICK_SLICES]
    assert values == ([pytest.approx(mm)] if thick else [])


def test_gantry_tilt_is_refused(saved):
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = 2 * np.tan(np.deg2rad(15.0))
    with pytest.raises(InputError, match="shear"):
        read_ct(saved(asymmetric((20, 20, 20), affine)))


def test_one_volume_in_4d_is_read_and_flagged(saved):
    image = asymmetric()
    four = nib.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine)
    ct = read_ct(saved(four))
    assert ct.flags == (Flag(FlagCode.READ_AS_3D, "4D file with one volume read as 3D", 4),)
    assert np.array_equal(ct.hu, read_ct(saved(image, "b.nii")).hu)


def picture(values, dtype):
    return nib.Nifti1Image(np.asarray(values).astype(dtype), np.eye(4))


NO_CT = {
    "2D": picture(np.arange(64).reshape(8, 8), np.int16),
    "three slices": picture(np.arange(192).reshape(8, 8, 3) * 10, np.int16),
    "two volumes": picture(np.arange(1024).reshape(8, 8, 8, 2), np.int16),
    "constant": picture(np.zeros((8, 8, 8)), np.int16),
    "8-bit": picture(np.arange(512).reshape(8, 8, 8) % 256, np.uint8),
    "0 to 255": picture(np.arange(512).reshape(8, 8, 8) % 256, np.int16),
    "all water": picture(np.arange(512).reshape(8, 8, 8) % 20 - 10, np.int16),
    "thick": nib.Nifti1Image(
        np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.diag([1, 1, 40, 1])
    ),
    "rgb": nib.Nifti1Image(
        np.zeros((8, 8, 8), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])), np.eye(4)
    ),
}


@pytest.mark.parametrize("kind", NO_CT)
def test_what_is_no_ct_is_refused_by_name(saved, kind):
    path = saved(NO_CT[kind])
    with pytest.raises(InputError, match=path.name):
        read_ct(path)


def test_damaged_files_are_refused_by_name(tmp_path, saved):
    whole = saved(asymmetric((30, 30, 30)), "whole.nii.gz").read_bytes()
    contents = {
        "cut.nii.gz": whole[: len(whole) // 2],
        "nozip.nii.gz": b"no gzip at all",
        "empty.nii": b"",
        "text.nii": b"hello" * 200,
        "short.nii": gzip.decompress(whole)[:-1000],
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_ct(path)
    with pytest.raises(InputError, match="no such file"):
        read_ct(tmp_path / "missing.nii")


def test_a_header_that_claims_terabytes_is_refused_before_reading(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float64)
    header.set_data_shape((30000, 30000, 30000))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path = tmp_path / "huge.nii"
    path.write_bytes(header.binaryblock + b"\0" * 100)
    with pytest.raises(InputError, match="expected 216000000000352 bytes"):
        read_ct(path)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0])
def test_unusable_affine_is_refused(saved, broken):
    path = saved(asymmetric())
    raw = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]))
    header["srow_x"] = [broken] * 4
    path.write_bytes(header.binaryblock + bytes(raw[348:]))
    with pytest.raises(InputError, match="scan"):
        read_ct(path)


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(3)), st.lists(st.booleans(), min_size=3, max_size=3))
def test_turning_there_and_back_is_exact(axes, flips):
    lattice = Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (2, 3, 4))
    grid = GridGeometry(tuple(axes), tuple(flips), lattice, 0.0)
    source = SourceGeometry(np.eye(4), (2, 3, 4), None, grid)
    array = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(to_source(from_source(array, source), source), array)
