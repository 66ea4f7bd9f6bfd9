"""Whatever a header says: a sound CT or a refusal, and no more memory than allowed."""

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.bad_inputs import whole
from tests.helpers.reader_contract import MEMORY_LIMIT, read_or_refuse
from verse_infer.flags import FlagCode

GOOD = whole()
SIZES = st.one_of(
    st.integers(-3, 20), st.sampled_from([10, 12, 14, 100, 32767, -32768]), st.integers(-9999, 9999)
)
FLOATS = st.one_of(
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.8, 2.0, 1e-30, 1e30, np.nan, np.inf, 352.0]),
)
CODES = st.one_of(st.integers(-2, 6), st.integers(-32768, 32767))
DATA_TYPES = st.one_of(
    st.sampled_from([2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2304]),
    st.integers(-32768, 32767),
)


def several(strategy, number):
    return st.lists(strategy, min_size=number, max_size=number)


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "dim": several(SIZES, 8),
        "datatype": DATA_TYPES,
        "bitpix": CODES,
        "pixdim": several(FLOATS, 8),
        "vox_offset": FLOATS,
        "scl_slope": FLOATS,
        "scl_inter": FLOATS,
        "qform_code": CODES,
        "sform_code": CODES,
        "quatern_b": FLOATS,
        "quatern_c": FLOATS,
        "quatern_d": FLOATS,
        "qoffset_x": FLOATS,
        "srow_x": several(FLOATS, 4),
        "srow_y": several(FLOATS, 4),
        "srow_z": several(FLOATS, 4),
        "magic": st.sampled_from([b"n+1", b"ni1", b"", b"n+2"]),
        "xyzt_units": st.integers(0, 255),
        "sizeof_hdr": st.sampled_from([348, 540, 0, -1]),
    },
)
some = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def with_fields(fields, big_endian=False):
    header = nib.Nifti1Header(GOOD[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    if big_endian:
        header = header.as_byteswapped(">")
    return header.binaryblock + GOOD[348:]


@some
@given(fields=FIELDS, big_endian=st.booleans(), zipped=st.booleans())
def test_any_header_is_read_soundly_or_refused(tmp_path, fields, big_endian, zipped):
    content = with_fields(fields, big_endian)
    path = tmp_path / ("scan.nii.gz" if zipped else "scan.nii")
    path.write_bytes(gzip.compress(content, 1, mtime=0) if zipped else content)
    read_or_refuse(path, tmp_path / "mask.nii.gz")


@some
@given(
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=6),
    cut=st.integers(0, 4000),
)
def test_any_damage_is_read_soundly_or_refused(tmp_path, flips, cut):
    content = bytearray(GOOD)
    for place, bits in flips:
        content[place] ^= bits
    path = tmp_path / "scan.nii"
    path.write_bytes(bytes(content[: max(0, len(content) - cut)]))
    read_or_refuse(path)


@some
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4)
)
def test_damage_to_a_zipped_file_is_never_taken_for_voxels(tmp_path, flips):
    zipped = gzip.compress(GOOD, mtime=0)
    content = bytearray(zipped)
    for place, bits in flips:
        content[10 + place % (len(zipped) - 10)] ^= bits  # behind the gzip header
    if bytes(content) == zipped:
        return
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(bytes(content))
    whole_file = tmp_path / "whole.nii.gz"
    whole_file.write_bytes(zipped)
    ct = read_or_refuse(path)
    assert ct is None or np.array_equal(ct.hu, read_or_refuse(whole_file).hu)


@some
@given(shape=several(st.integers(1, 32767), 3), kind=st.sampled_from([4, 16, 64, 1536]))
def test_no_claim_is_allocated_beyond_the_limit(tmp_path, shape, kind):
    path = tmp_path / "scan.nii.gz"
    content = with_fields({"dim": [3, *shape, 1, 1, 1, 1], "datatype": kind})
    path.write_bytes(gzip.compress(content + bytes(2**20), 1, mtime=0))
    tracemalloc.start()
    read_or_refuse(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY_LIMIT + 2**22


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.uint32, np.int32, np.float64])
def test_the_widest_types_are_clipped_not_wrapped(tmp_path, kind):
    values = np.linspace(-1000, 900, 4 * 5 * 6).reshape(4, 5, 6)
    if np.dtype(kind).kind == "u":
        values = values + 1000
    values = values.astype(kind)
    values[1, 1, 1] = np.iinfo(kind).max if np.dtype(kind).kind in "iu" else 1e300
    nib.Nifti1Image(values, np.eye(4), dtype=kind).to_filename(tmp_path / "scan.nii")
    ct = read_or_refuse(tmp_path / "scan.nii")
    assert ct.hu.max() == 32767
    assert FlagCode.HIGH_VALUES_CLIPPED in {flag.code for flag in ct.flags}
