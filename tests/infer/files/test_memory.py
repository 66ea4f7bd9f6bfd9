"""The memory a header leads one to expect is what reading and writing take."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.batches import FakePipeline, run
from verse_infer.files.ct_reading import read_ct, scan_memory

SHAPE = (160, 150, 140)


def scan(folder, dtype):
    folder.mkdir(exist_ok=True)
    values = np.linspace(-1000, 1500, int(np.prod(SHAPE))).reshape(SHAPE).astype(dtype)
    nib.Nifti1Image(values, np.diag([1, 1, 1, 1])).to_filename(folder / "scan.nii.gz")


def peak_of(work):
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_reading_and_writing_stay_below_the_estimate(tmp_path, dtype):
    scan(tmp_path / "in", dtype)
    allowed = scan_memory(SHAPE, SHAPE)
    assert peak_of(lambda: read_ct(tmp_path / "in" / "scan.nii.gz")) < allowed
    assert peak_of(lambda: run(tmp_path / "in", tmp_path / "out", FakePipeline())) < allowed


def test_the_estimate_is_not_many_times_too_high(tmp_path):
    """Or scans would be refused that could be done."""
    scan(tmp_path / "in", np.float64)
    peak = peak_of(lambda: run(tmp_path / "in", tmp_path / "out", FakePipeline()))
    assert scan_memory(SHAPE, SHAPE) < 3 * peak
