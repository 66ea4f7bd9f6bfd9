import itertools

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.scenes import L1, affine_of, save_mask
from verse_eval.grids import read_grid, read_label_map
from verse_infer.errors import InputError

ALL_AXES = [
    "".join(codes)
    for order in itertools.permutations(["RL", "AP", "SI"])
    for codes in itertools.product(*order)
]


@pytest.mark.parametrize("axes", ALL_AXES)
def test_a_voxel_has_its_place_in_all_48_orientations(tmp_path, axes):
    """Voxel (1, 2, 3) of the file lies where the file's affine says, x and y negated for LPS."""
    affine = affine_of(axes, (0.5, 1.0, 2.0))
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1, 2, 3] = L1
    path = tmp_path / "m.nii.gz"
    save_mask(path, labels, affine)
    one, _ = read_label_map(path)
    (place,) = np.argwhere(one.labels == L1)
    wanted = affine @ [1, 2, 3, 1]
    np.testing.assert_allclose(one.lattice.point(place[::-1]), [-wanted[0], -wanted[1], wanted[2]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_whole_numbers_of_any_type_are_labels(tmp_path, dtype):
    labels = np.zeros((3, 3, 3))
    labels[1, 1, 1] = 28
    save_mask(tmp_path / "m.nii.gz", labels, np.eye(4), dtype)
    one, _ = read_label_map(tmp_path / "m.nii.gz")
    assert one.labels.dtype == np.uint8
    assert one.labels[1, 1, 1] == 28
    assert one.labels.sum() == 28


def test_sacrum_coccyx_and_strangers_are_passed_over_and_named(tmp_path):
    labels = np.zeros((3, 3, 3))
    labels[0, 0], labels[1, 1, 1] = [26, 27, 200], L1
    save_mask(tmp_path / "m.nii.gz", labels, np.eye(4))
    one, _ = read_label_map(tmp_path / "m.nii.gz")
    assert one.passed_over == (26, 27, 200)
    assert sorted(np.unique(one.labels)) == [0, L1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        *((v, "fractions") for v in (0.5, 8.06, 20.9, 27.5, 1 / 3)),
        *((v, "0 to 255") for v in (-1.0, 300.0, 256.0, np.inf)),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, value, message):
    save_mask(tmp_path / "m.nii.gz", np.full((3, 3, 3), value), np.eye(4), np.float32)
    with pytest.raises(InputError, match=message):
        read_label_map(tmp_path / "m.nii.gz")


def test_not_a_number_is_refused(tmp_path):
    save_mask(tmp_path / "m.nii.gz", np.full((3, 3, 3), np.nan), np.eye(4), np.float32)
    with pytest.raises(InputError, match="0 to 255"):
        read_label_map(tmp_path / "m.nii.gz")


def test_damaged_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.nii"):
        read_label_map(tmp_path / "none.nii.gz")
    path = tmp_path / "cut.nii.gz"
    save_mask(path, np.random.default_rng(0).integers(0, 26, (40, 40, 40)), np.eye(4))
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"damaged|expected a NIfTI"):
        read_label_map(path)


MISSED = {"by float32": 9e-7, "by float16": 4e-3, "by a hundredth": 0.01, "by a mean": 0.049}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("by", MISSED)
def test_labels_that_miss_whole_numbers_by_rounding_are_rounded_and_it_is_said(
    tmp_path, by, sign, caplog
):
    labels = np.zeros((3, 3, 3))
    labels[1, 1] = np.array([8, 20, 28]) + sign * MISSED[by]
    save_mask(tmp_path / "m.nii.gz", labels, np.eye(4), np.float64)
    with caplog.at_level("INFO"):
        one, _ = read_label_map(tmp_path / "m.nii.gz")
    assert np.unique(one.labels).tolist() == [0, 8, 20, 28]
    assert one.labels.sum() == 56
    assert "m.nii.gz: labels up to" in caplog.text
    assert "from whole numbers: rounded" in caplog.text


@pytest.mark.parametrize("highest", [5, 8, 20, 25, 28])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_label_maps_scaled_by_nibabel_keep_their_labels(tmp_path, dtype, highest):
    """A float array saved under the header of integers: scl_slope is then no whole number."""
    labels = np.zeros((4, 4, 4))
    labels[1:3, 1, 1:3] = [[1, highest - 1], [2, highest]]
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    nib.save(nib.Nifti1Image(labels, np.eye(4), header), tmp_path / "m.nii.gz")
    scaled = nib.load(tmp_path / "m.nii.gz")
    assert scaled.dataobj.slope != 1
    one, _ = read_label_map(tmp_path / "m.nii.gz")
    assert sorted(np.unique(one.labels)) == sorted({0, 1, 2, highest - 1, highest} - {26, 27})


def test_the_grid_is_read_from_the_header_alone(tmp_path):
    path = tmp_path / "ct.nii"
    save_mask(path, np.zeros((4, 5, 6)), affine_of("PIR", (1.0, 2.0, 3.0)))
    path.write_bytes(path.read_bytes()[:352])
    grid = read_grid(path)
    assert grid.lattice.size == (6, 4, 5)
    assert grid.lattice.spacing == (3.0, 1.0, 2.0)


def test_shear_and_4d_are_refused(tmp_path):
    sheared = np.eye(4)
    sheared[0, 2] = 0.3
    save_mask(tmp_path / "s.nii.gz", np.zeros((4, 4, 4)), sheared)
    with pytest.raises(InputError, match="shear"):
        read_grid(tmp_path / "s.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), tmp_path / "f.nii.gz")
    with pytest.raises(InputError, match="3D"):
        read_grid(tmp_path / "f.nii.gz")
