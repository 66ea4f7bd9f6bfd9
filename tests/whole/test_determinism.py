"""Same input, same options: same bytes. Other arithmetic: the same result."""

import gzip
import hashlib
import time

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.batches import FakePipeline, files, run, scans
from tests.helpers.geometry import difference
from verse_infer.ct import from_source
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids
from verse_infer.pipeline import CaseResult
from verse_infer.runtime import BFLOAT16_FLAGS, processor_flags
from verse_train.synthetic.sample import write_sample


def test_the_same_bytes_at_another_time_and_place(tmp_path):
    source = scans(tmp_path / "in", "a.nii.gz", "sub-1/sub-1_ct.nii.gz")
    run(source, tmp_path / "first", FakePipeline())
    time.sleep(1.1)  # gzip keeps whole seconds
    run(source, tmp_path / "elsewhere" / "second", FakePipeline())
    names = [name for name in files(tmp_path / "first") if name != "run.json"]
    assert len(names) == 8
    for name in names:
        one, two = (
            (tmp_path / folder / name).read_bytes() for folder in ("first", "elsewhere/second")
        )
        assert hashlib.sha256(one).digest() == hashlib.sha256(two).digest(), name


def test_the_gzip_header_holds_no_time_and_no_name(tmp_path):
    source = scans(tmp_path / "in", "a.nii.gz")
    run(source, tmp_path / "out", FakePipeline())
    content = (tmp_path / "out" / "a_seg.nii.gz").read_bytes()
    assert content[3] == 0  # no file name, no comment
    assert content[4:8] == bytes(4)  # no time
    assert gzip.decompress(content)


@pytest.mark.slow
@pytest.mark.skipif(not processor_flags() & BFLOAT16_FLAGS, reason="processor without bfloat16")
def test_float32_and_bfloat16_agree(run_command, tmp_path):
    scan = write_sample(tmp_path / "in")
    ct, results = read_ct(scan), []
    for precision in ("float32", "bfloat16"):
        output = tmp_path / precision
        process = run_command("--input", scan, "--output", output, "--precision", precision)
        assert process.returncode == 0, process.stderr
        mask = read_mask(output / "sub-sample_seg-vert_msk.nii.gz", ct)
        centroids = read_centroids(output / "sub-sample_seg-subreg_ctd.json", ct.source, "verse")
        results.append((CaseResult(centroids, mask, (), {}), ct.lattice))
    found = difference(*results)
    print(found)
    assert not found.only_one
    assert found.distance_mm <= 0.5, found
    assert found.mean_dice >= 0.99, found
    assert found.dice >= 0.98, found  # of the least alike vertebra


def read_mask(path, ct):
    """Labels on the CT's lattice; the mask lies on the scan's own grid."""
    return np.ascontiguousarray(from_source(np.asarray(nib.load(path).dataobj), ct.source))
