"""A mask says of space what its scan says, field by field: whichever a program goes by, they meet."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from tests.helpers.bad_inputs import body, image
from verse_infer.ct import to_source
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import write_mask

#: Fields that say where voxels lie, in what unit, and in which order they were measured.
SPACE = (
    *("pixdim", "xyzt_units", "dim_info", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "slice_code", "slice_start", "slice_end", "slice_duration"),
    "toffset",
)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [5, -8, 12], degrees=True).as_matrix() * [
    0.8,
    0.8,
    2.0,
]
OBLIQUE[:3, 3] = -70, -55, 400


def by_thickness(factor):
    """sform by slice thickness, qform and zooms by slice distance."""
    picture = image(affine=OBLIQUE)
    thick = picture.affine.copy()
    thick[:3, 2] *= factor
    picture.header.set_qform(picture.affine, 1)
    picture.header.set_sform(thick, 1)
    return picture.header


def with_fields(**fields):
    header = image(affine=OBLIQUE).header
    header.set_qform(header.get_best_affine(), 1)
    for name, value in fields.items():
        header[name] = value
    return header


ZOOMS = [1.0, 0.8, 0.8, 2.0, 0, 0, 0, 0]
HEADERS = {
    **{f"sform {f:g} times as long": by_thickness(f) for f in (0.5, 0.75, 4 / 3, 1.5, 2.0)},
    **{
        f"zoom {a} is {z:g}": with_fields(pixdim=[*ZOOMS[:a], z, *ZOOMS[a + 1 :]])
        for a in (1, 2, 3)
        for z in (-0.8, -2.0, 0.0, 3.0, np.nan)
    },
    **{f"qfac {q}": with_fields(pixdim=[q, *ZOOMS[1:]]) for q in (-1.0, 0.0, 1.0, 7.0)},
    **{
        f"codes {q} {s}": with_fields(qform_code=q, sform_code=s)
        for q in (0, 1, 4)
        for s in (0, 2, 3)
    },
    **{f"units {u}": with_fields(xyzt_units=u) for u in (0, 1, 2, 3, 10, 255)},
    "qform elsewhere": with_fields(quatern_b=0.6, quatern_c=0.2, qoffset_z=-900.0),
    "qform that is none": with_fields(quatern_b=0.9, quatern_c=0.9, quatern_d=0.9),
    "order of slices": with_fields(
        dim_info=57, slice_code=3, slice_start=1, slice_end=12, slice_duration=0.5, toffset=7.0
    ),
    "times": with_fields(pixdim=[1.0, 0.8, 0.8, 2.0, 2.5, 3.0, 0.0, np.nan]),
}


def scan_of(header, path, big_endian=False):
    """A scan whose header's geometry is as given, byte by byte."""
    bare = image()
    bare.header["vox_offset"] = 352
    written = bare.header.copy()
    for field in SPACE:
        written[field] = header[field]
    if big_endian:
        written = written.as_byteswapped(">")
    voxels = body().astype(">i2" if big_endian else "<i2")
    path.write_bytes(written.binaryblock + b"\0" * 4 + voxels.tobytes(order="F"))
    return path


def mask_of(scan, path):
    ct = read_ct(scan)
    labels = np.zeros(ct.hu.shape, np.uint8)
    labels[3:5, 4:6, 2:4] = 20
    write_mask(path, labels, ct.source)
    assert np.array_equal(np.asarray(nib.load(path).dataobj), to_source(labels, ct.source))
    return path


def raw_header(path):
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    if int.from_bytes(content[:4], "little") == 540:
        return nib.Nifti2Header(content[:540], check=False)
    return nib.Nifti1Header(content[:348], check=False)


def seen_by_itk(path):
    """What Slicer, ITK-SNAP and the like go by."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:  # no qform that it could use, or NIfTI-2
        return "refused"
    return reader.GetSize()[:3], reader.GetSpacing()[:3], reader.GetOrigin(), reader.GetDirection()


def seen_by_nibabel(path):
    loaded = nib.load(path)
    with np.errstate(invalid="ignore"):
        forms = loaded.get_sform(coded=True), loaded.get_qform(coded=True)
    return [loaded.affine, *(np.asarray(x, float) for form in forms for x in form)]


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", HEADERS)
def test_scan_and_mask_lie_in_one_place_for_everybody(tmp_path, kind, big_endian):
    scan = scan_of(HEADERS[kind], tmp_path / "a.nii", big_endian)
    mask = mask_of(scan, tmp_path / "a_seg.nii.gz")
    theirs, ours = raw_header(scan), raw_header(mask)
    for field in SPACE:
        assert np.array_equal(ours[field], theirs[field], equal_nan=True), field
    assert ours["dim"][:4].tolist() == theirs["dim"][:4].tolist()
    assert seen_by_itk(mask) == seen_by_itk(scan)
    if kind != "qform that is none":
        for one, other in zip(seen_by_nibabel(mask), seen_by_nibabel(scan), strict=True):
            assert np.array_equal(one, other, equal_nan=True)


def test_of_a_nifti_2_scan_the_mask_is_nifti_2_and_loses_no_digit(tmp_path):
    affine = np.diag([0.7654321987654, 0.7654321987654, 2.000000000123, 1.0])
    affine[:3, 3] = 1 / 3, 2 / 3, 1e3 / 7
    nib.Nifti2Image(body().astype(np.int16), affine).to_filename(tmp_path / "a.nii")
    mask = mask_of(tmp_path / "a.nii", tmp_path / "a_seg.nii.gz")
    theirs, ours = raw_header(tmp_path / "a.nii"), raw_header(mask)
    for field in SPACE:
        assert np.array_equal(ours[field], theirs[field], equal_nan=True), field
    assert np.array_equal(nib.load(mask).affine, nib.load(tmp_path / "a.nii").affine)
    assert seen_by_itk(mask) == seen_by_itk(tmp_path / "a.nii")


def test_what_is_none_of_space_is_not_taken_over(tmp_path):
    header = with_fields()
    bare = nib.Nifti1Image(body().astype(np.int16), header.get_best_affine(), header)
    bare.header["descrip"], bare.header["aux_file"] = b"a name", b"a file"
    bare.header["intent_code"], bare.header["cal_max"] = 1, 900
    bare.to_filename(tmp_path / "a.nii")
    ours = raw_header(mask_of(tmp_path / "a.nii", tmp_path / "a_seg.nii.gz"))
    assert b"name" not in ours["descrip"].tobytes()
    assert ours["aux_file"].tobytes().strip(b"\0") == b""
    assert ours["intent_code"] == 0
    assert (ours["scl_slope"], ours["scl_inter"], ours["cal_max"]) == (1, 0, 28)
