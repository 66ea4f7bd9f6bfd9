"""Another checkout gives the same bytes: for changes that are to change nothing.

VERSE_REFERENCE is the folder of that checkout, such as a `git worktree` of the commit before. Bytes
are those of one kind of processor, so they are never compared with stored ones: both checkouts run
here, with the reference's weights, on the sample and on three real CTs where those lie beside the
checkout.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from verse_train.synthetic.sample import write_sample

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("VERSE_REFERENCE", "nowhere"))
REAL = ROOT.parent / "shared" / "data" / "ct" / "rawdata"
REAL_CASES = ("sub-acrin001b", "sub-pancreasctcb001", "sub-vtkfullhead")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REFERENCE.is_dir(), reason="VERSE_REFERENCE names no checkout"),
]


def outputs(checkout, source, folder):
    """Centroids and masks of all scans of a folder, by name, as a checkout's command writes them."""
    words = ["--input", source, "--output", folder, "--weights", REFERENCE / "weights"]
    process = subprocess.run(
        [sys.executable, str(checkout / "entrypoint.py"), *map(str, words), "--device", "cpu"],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
    )
    assert process.returncode == 0, process.stderr
    files = [*folder.rglob("*_ctd.json"), *folder.rglob("*_msk.nii.gz")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_same(source, folder):
    before = outputs(REFERENCE, source, folder / "before")
    now = outputs(ROOT, source, folder / "now")
    assert len(before) == 2
    assert before.keys() == now.keys()
    assert [name for name in before if before[name] != now[name]] == []


def test_the_sample_has_the_same_outputs(tmp_path):
    write_sample(tmp_path / "sample")
    assert_same(tmp_path / "sample", tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize("case", REAL_CASES)
def test_a_real_ct_has_the_same_outputs(tmp_path, case):
    if not (REAL / case).is_dir():
        pytest.skip(f"no ../shared/data/ct/rawdata/{case}")
    assert_same(REAL / case, tmp_path)
