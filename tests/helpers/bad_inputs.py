"""Inputs as clinics and strangers may send them, each with its stated outcome.

Every item writes one file (or link, folder, …) named by its key; nothing is random but by a seed.
"""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np

from verse_infer.flags import FlagCode

PROCESSED, FLAGGED, REFUSED = "processed", "processed with flag", "refused"
SHAPE = (10, 12, 14)


@dataclass(frozen=True)
class BadInput:
    """said: the code of the flag, or a phrase of the refusal's message; nothing of a sound scan."""

    name: str
    outcome: Literal["processed", "processed with flag", "refused"]
    said: str
    write: Callable[[Path], None]


def body(shape=SHAPE):
    """Air, water and bone, without symmetry; float."""
    rng = np.random.default_rng(7)
    return np.where(rng.random(shape) < 0.2, 900.0, np.linspace(-1000, 300, shape[-1])).round()


def image(values=None, affine=None, dtype=np.int16):
    values = body() if values is None else values
    return nib.Nifti1Image(
        np.asarray(values).astype(dtype),
        np.diag([0.8, 0.8, 2.0, 1.0]) if affine is None else affine,
    )


def whole() -> bytes:
    return image().to_bytes()


def changed(**fields) -> bytes:
    """A good file whose header's fields were overwritten."""
    raw = whole()
    header = nib.Nifti1Header(raw[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + raw[348:]


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def saved(picture) -> Callable[[Path], None]:
    return picture.to_filename


def sheared(degrees):
    affine = np.diag([0.8, 0.8, 2.0, 1.0])
    affine[1, 2] = 2 * np.tan(np.deg2rad(degrees))
    return affine


def turned(*columns):
    """Affine whose axes run along the given signed axes, such as (-1, 2, 3)."""
    affine = np.zeros((4, 4))
    for column, axis in enumerate(columns):
        affine[abs(axis) - 1, column] = np.sign(axis) * (0.8, 0.8, 2.0)[column]
    affine[3, 3] = 1
    return affine


def in_unit(code, scale):
    """A header whose lengths are those of mm times a scale, with a code for their unit."""
    picture = image(affine=np.diag([0.8 * scale, 0.8 * scale, 2.0 * scale, 1.0]))
    picture.header["xyzt_units"] = code
    return picture.to_filename


def with_qform(picture, affine):
    picture.header.set_qform(affine, 1)
    return picture


def only_qform(**fields):
    return changed(sform_code=0, qform_code=1, **fields)


def with_voxel(value):
    values = body()
    values[3, 3, 3:6] = value
    return values


def sparse(shape, dtype):
    """A header of any claim over a file that has the claimed length, but takes no room."""

    def write(path):
        header = nib.Nifti1Header()
        header.set_data_dtype(dtype)
        header.set_data_shape(shape)
        header["magic"], header["vox_offset"] = b"n+1", 352
        path.write_bytes(header.binaryblock + b"\0" * 4)
        os.truncate(path, 352 + int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)

    return write


def tiny_gzip_of_a_great_claim(path):
    """Deflated zeros: 0.1 MB of file, 100 MB of voxels."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((1024, 1024, 50))
    header["magic"], header["vox_offset"] = b"n+1", 352
    with gzip.open(path, "wb", 9) as file:
        file.write(header.binaryblock + b"\0" * 4)
        for _ in range(100):
            file.write(bytes(2**20))


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
ZIPPED = gzip.compress(whole(), mtime=0)

BAD_INPUTS = (
    # --- damaged files
    BadInput(
        "truncated.nii.gz", REFUSED, "damaged or cut off", content(ZIPPED[: len(ZIPPED) // 2])
    ),
    BadInput("cut_in_header.nii.gz", REFUSED, "expected a NIfTI image", content(ZIPPED[:40])),
    BadInput("wrong_checksum.nii.gz", REFUSED, "damaged", content(ZIPPED[:-8] + bytes(8))),
    BadInput("no_zip.nii.gz", REFUSED, "not packed: name it .nii", content(whole())),
    BadInput("zipped.nii", REFUSED, "name it .nii.gz", content(ZIPPED)),
    BadInput("metaimage.nii", REFUSED, "MetaImage", content(b"ObjectType = Image\n" * 40)),
    BadInput("nrrd.nii.gz", REFUSED, "NRRD", content(b"NRRD0005\n" * 40)),
    BadInput("zip.nii.gz", REFUSED, "a zip archive", content(b"PK\3\4" * 100)),
    BadInput("empty.nii", REFUSED, "got 0 bytes", content(b"")),
    BadInput("empty_zip.nii.gz", REFUSED, "got 0 bytes", content(b"")),
    BadInput("text.nii", REFUSED, "expected a NIfTI image", content(b"hello " * 200)),
    BadInput("short.nii", REFUSED, "cut off", content(whole()[:-100])),
    BadInput("header_only.nii", REFUSED, "cut off", content(whole()[:352])),
    BadInput("wrong_magic.nii", REFUSED, "magic", content(changed(magic=b"ni1"))),
    BadInput("analyze.nii", REFUSED, "magic", content(changed(magic=b""))),
    BadInput("dicom.nii", REFUSED, "got DICOM", content(bytes(128) + b"DICM" * 200)),
    BadInput("trailing_bytes.nii", PROCESSED, "", content(whole() + b"x" * 1000)),
    # --- sizes
    BadInput("terabytes.nii", REFUSED, "at most", sparse((20000, 20000, 2000), np.int16)),
    BadInput(
        "claims_terabytes.nii.gz",
        REFUSED,
        "bytes",
        content(gzip.compress(changed(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), mtime=0)),
    ),
    BadInput("no_memory.nii", REFUSED, "GiB of memory", sparse((1024, 1024, 2000), np.float64)),
    BadInput("bomb.nii.gz", REFUSED, "GiB of memory", tiny_gzip_of_a_great_claim),
    BadInput(
        "negative_size.nii",
        REFUSED,
        "sizes of at least 1",
        content(changed(dim=[3, 10, -12, 14, 1, 1, 1, 1])),
    ),
    BadInput("no_axes.nii", REFUSED, "axes", content(changed(dim=[0, 10, 12, 14, 1, 1, 1, 1]))),
    BadInput("nine_axes.nii", REFUSED, "axes", content(changed(dim=[9, 10, 12, 14, 1, 1, 1, 1]))),
    BadInput("offset_nan.nii", REFUSED, "offset", content(changed(vox_offset=np.nan))),
    BadInput("offset_far.nii", REFUSED, "offset", content(changed(vox_offset=1e30))),
    BadInput("offset_small.nii", REFUSED, "offset", content(changed(vox_offset=16))),
    BadInput("one_slice.nii", REFUSED, "at least 4", saved(image(body((64, 64, 1))))),
    BadInput("one_voxel.nii", REFUSED, "at least 4", saved(image(np.full((1, 1, 1), 50)))),
    BadInput("2d.nii", REFUSED, "one 3D volume", saved(image(body((64, 64))))),
    BadInput("4d.nii", REFUSED, "one 3D volume", saved(image(np.stack([body()] * 3, -1)))),
    BadInput("4d_of_one.nii", FLAGGED, FlagCode.READ_AS_3D, saved(image(body()[..., None]))),
    BadInput("long.nii", REFUSED, "at most 3000 mm", saved(image(body((4, 4, 2000))))),
    # --- voxel types and values
    BadInput(
        "rgb.nii", REFUSED, "grey values", saved(nib.Nifti1Image(np.zeros(SHAPE, RGB), np.eye(4)))
    ),
    BadInput("complex.nii", REFUSED, "grey values", saved(image(dtype=np.complex64))),
    BadInput("unknown_type.nii", REFUSED, "grey values", content(changed(datatype=7777))),
    BadInput("float64.nii", PROCESSED, "", saved(image(dtype=np.float64))),
    BadInput("float32.nii.gz", PROCESSED, "", saved(image(dtype=np.float32))),
    BadInput(
        "uint16_offset.nii",
        FLAGGED,
        FlagCode.NO_NEGATIVE_VALUE,
        saved(image(body() + 1024, dtype=np.uint16)),
    ),
    BadInput("8bit.nii", REFUSED, "8-bit", saved(image(body() / 8 + 127, dtype=np.uint8))),
    BadInput("picture.nii", REFUSED, "8-bit", saved(image(body() / 8 + 127))),
    BadInput(
        "nan_voxels.nii",
        FLAGGED,
        FlagCode.VOXELS_NOT_FINITE,
        saved(image(with_voxel(np.nan), dtype=np.float32)),
    ),
    BadInput(
        "inf_voxels.nii",
        FLAGGED,
        FlagCode.VOXELS_NOT_FINITE,
        saved(image(with_voxel(-np.inf), dtype=np.float64)),
    ),
    BadInput("all_nan.nii", REFUSED, "constant", saved(image(body() * np.nan, dtype=np.float32))),
    BadInput(
        "huge_values.nii",
        FLAGGED,
        FlagCode.HIGH_VALUES_CLIPPED,
        saved(image(with_voxel(1e30), dtype=np.float32)),
    ),
    BadInput("metal.nii", PROCESSED, "", saved(image(with_voxel(30000)))),
    BadInput("slope_zero.nii", PROCESSED, "", content(changed(scl_slope=0))),
    BadInput("slope_inf.nii", REFUSED, "finite", content(changed(scl_slope=np.inf))),
    BadInput("inter_nan.nii", REFUSED, "finite", content(changed(scl_slope=1, scl_inter=np.nan))),
    BadInput("all_air.nii", REFUSED, "constant value -1000", saved(image(np.full(SHAPE, -1000)))),
    BadInput("noisy_air.nii", REFUSED, "air to bone", saved(image(body() / 50 - 1000))),
    BadInput("all_water.nii", REFUSED, "air to bone", saved(image(body() / 50))),
    # --- geometry
    BadInput(
        "zero_zooms.nii",
        FLAGGED,
        FlagCode.ZOOMS_DISAGREE,
        content(changed(pixdim=[1, 0, 0, 0, 0, 0, 0, 0])),
    ),
    BadInput(
        "nan_zooms.nii",
        FLAGGED,
        FlagCode.ZOOMS_DISAGREE,
        content(changed(pixdim=[1, np.nan, 0.8, 2, 0, 0, 0, 0])),
    ),
    BadInput(
        "negative_zooms.nii",
        FLAGGED,
        FlagCode.NEGATIVE_ZOOMS,
        content(changed(pixdim=[1, -0.8, 0.8, 2, 0, 0, 0, 0])),
    ),
    BadInput(
        "zero_zooms_only.nii",
        REFUSED,
        "voxel sizes above 0",
        content(only_qform(pixdim=[1, 0, 0.8, 2, 0, 0, 0, 0])),
    ),
    BadInput(
        "nan_zooms_only.nii",
        REFUSED,
        "voxel",
        content(only_qform(pixdim=[1, 0.8, np.nan, 2, 0, 0, 0, 0])),
    ),
    BadInput(
        "other_zooms.nii",
        FLAGGED,
        FlagCode.ZOOMS_DISAGREE,
        content(changed(pixdim=[1, 3, 3, 3, 0, 0, 0, 0])),
    ),
    BadInput("sform_nan.nii", REFUSED, "not finite", content(changed(srow_y=[np.nan] * 4))),
    BadInput("sform_zero.nii", REFUSED, "do not span space", content(changed(srow_z=[0] * 4))),
    BadInput(
        "quaternion_bad.nii",
        REFUSED,
        "expected",
        content(only_qform(quatern_b=1, quatern_c=1, quatern_d=1)),
    ),
    BadInput(
        "forms_disagree.nii",
        FLAGGED,
        FlagCode.FORMS_DISAGREE,
        saved(with_qform(image(), turned(1, -2, 3))),
    ),
    BadInput(
        "no_forms.nii",
        FLAGGED,
        FlagCode.NO_ORIENTATION,
        content(changed(sform_code=0, qform_code=0)),
    ),
    BadInput("left_handed.nii", PROCESSED, "", saved(image(affine=turned(-1, 2, 3)))),
    BadInput("upside_down.nii", PROCESSED, "", saved(image(affine=turned(1, -2, -3)))),
    BadInput("sideways.nii", PROCESSED, "", saved(image(affine=turned(2, -1, 3)))),
    BadInput(
        "nearly_orthonormal.nii",
        FLAGGED,
        FlagCode.DIRECTION_REPAIRED,
        saved(image(affine=sheared(1.0))),
    ),
    BadInput("gantry_tilt.nii", REFUSED, "shear", saved(image(affine=sheared(15.0)))),
    BadInput("parallel_axes.nii", REFUSED, "do not span", saved(image(affine=sheared(89.99)))),
    BadInput("thick.nii", REFUSED, "spacing of", saved(image(affine=np.diag([1, 1, 40, 1])))),
    BadInput(
        "in_metres.nii", REFUSED, "spacing of", saved(image(affine=np.diag([8e-4, 8e-4, 2e-3, 1])))
    ),
    *(
        BadInput(f"spacing_in_{unit}.nii", REFUSED, f"whose unit is {unit}", in_unit(code, scale))
        for unit, code, scale in (("metre", 1, 1e-3), ("micron", 3, 1e3), ("micron", 11, 50.0))
    ),
    *(
        BadInput(f"unit_says_{unit}.nii", FLAGGED, FlagCode.UNIT_DISAGREES, in_unit(code, 1.0))
        for unit, code in (("metre", 1), ("micron", 3), ("metre and ms", 17))
    ),
    *(BadInput(f"unit_{code}.nii", PROCESSED, "", in_unit(code, 1.0)) for code in (0, 2, 10, 16)),
    BadInput(
        "far_away.nii",
        REFUSED,
        "within",
        saved(
            image(affine=np.array([[0.8, 0, 0, 1e30], [0, 0.8, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]))
        ),
    ),
    # --- names
    BadInput("with space.nii", PROCESSED, "", saved(image())),
    BadInput("ünïcødé 脊椎.nii.gz", PROCESSED, "", saved(image())),
    BadInput("new\nline.nii", PROCESSED, "", saved(image())),
    BadInput("-rf.nii", PROCESSED, "", saved(image())),
    BadInput("--output=x.nii.gz", PROCESSED, "", saved(image())),
    BadInput("$(touch x);'\".nii", PROCESSED, "", saved(image())),
    BadInput("%s{0}.nii", PROCESSED, "", saved(image())),
    BadInput(os.fsdecode(b"latin1-\xfc.nii"), PROCESSED, "", saved(image())),
    BadInput("n" * 240 + ".nii", PROCESSED, "", saved(image())),
    BadInput("n" * 250 + ".nii", REFUSED, "File name too long", saved(image())),
    BadInput("UPPER.NII.GZ", PROCESSED, "", saved(image())),
    # --- what is no plain file
    BadInput("folder.nii.gz", REFUSED, "got a folder", Path.mkdir),
    BadInput("pipe.nii", REFUSED, "got a named pipe", os.mkfifo),
    BadInput(
        "dangling.nii",
        REFUSED,
        "symbolic link to nothing",
        lambda path: path.symlink_to("/nowhere/x.nii"),
    ),
    BadInput(
        "itself.nii", REFUSED, "expected a readable file", lambda path: path.symlink_to(path.name)
    ),
    BadInput("null.nii", REFUSED, "got a device", lambda path: path.symlink_to("/dev/zero")),
)
