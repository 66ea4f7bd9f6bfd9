import gzip

import nibabel as nib
import numpy as np
import pytest

from verse_infer.errors import InputError
from verse_infer.files import nifti
from verse_infer.files.nifti import LONGEST_TAIL, SLAB_PLANES, read_preamble, read_slabs

DEPTH = 2 * SLAB_PLANES + 3


def saved(folder, dtype=">i2", name="scan.nii.gz"):
    values = np.arange(5 * 6 * DEPTH).reshape(5, 6, DEPTH).astype(dtype)
    nib.Nifti1Image(values, np.eye(4), dtype=np.dtype(dtype)).to_filename(folder / name)
    return values, folder / name


def slabs_of(path):
    return list(read_slabs(path, read_preamble(path)))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f8", "u1"])
def test_slabs_are_the_volume_in_order(tmp_path, name, dtype):
    values, path = saved(tmp_path, dtype, name)
    slabs = slabs_of(path)
    assert [slab.shape[2] for slab in slabs] == [SLAB_PLANES, SLAB_PLANES, 3]
    assert np.array_equal(np.concatenate(slabs, axis=2), values)


def test_large_planes_come_one_by_one(tmp_path, monkeypatch):
    values, path = saved(tmp_path)
    monkeypatch.setattr(nifti, "_SLAB_BYTES", 5 * 6 * 2 - 1)
    slabs = slabs_of(path)
    assert len(slabs) == DEPTH
    assert np.array_equal(np.concatenate(slabs, axis=2), values)


@pytest.mark.parametrize("missing", [1, 700, 5 * 6 * DEPTH * 2])
def test_missing_voxels_are_counted(tmp_path, missing):
    _, path = saved(tmp_path)
    preamble = read_preamble(path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-missing]))
    whole = 5 * 6 * DEPTH * 2
    with pytest.raises(
        InputError, match=f"expected {whole} bytes of voxels, got {whole - missing}:"
    ):
        list(read_slabs(path, preamble))


def test_a_short_tail_is_padding_and_a_long_one_another_file(tmp_path):
    values, path = saved(tmp_path)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content + b"x" * 1000))
    assert np.array_equal(np.concatenate(slabs_of(path), axis=2), values)
    path.write_bytes(gzip.compress(content + b"x" * (LONGEST_TAIL + 1), 1))
    with pytest.raises(InputError, match="bytes of voxels, got at least"):
        slabs_of(path)


def test_a_wrong_checksum_is_damage_even_where_all_voxels_came(tmp_path):
    _, path = saved(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 1
    path.write_bytes(bytes(raw))
    slabs = read_slabs(path, read_preamble(path))
    with pytest.raises(InputError, match="damaged or cut off"):
        list(slabs)
