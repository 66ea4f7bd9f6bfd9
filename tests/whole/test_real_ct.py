"""The main job on a real CT that no bundled network was trained on."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ct"
CASE = "sub-pancreasctcb001"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data/ct"),
]


@pytest.fixture(scope="module")
def output(run_command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("output")
    process = run_command("--input", DATA / "rawdata" / CASE, "--output", folder)
    assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture(scope="module")
def ct():
    return read_ct(DATA / "rawdata" / CASE / f"{CASE}_ct.nii.gz")


def test_at_least_eight_vertebrae_have_the_right_name(output, ct):
    found = read_centroids(output / f"{CASE}_seg-subreg_ctd.json", ct.source, "verse")
    truth = read_centroids(
        DATA / "derivatives" / CASE / f"{CASE}_seg-subreg_ctd.json", ct.source, "verse"
    )
    place = {c.label: np.array(c.point) for c in found}
    near = [c for c in truth if c.label in place and np.linalg.norm(place[c.label] - c.point) < 20]
    assert len(near) >= 8


def test_the_mask_is_bone(output):
    mask = np.asarray(nib.load(output / f"{CASE}_seg-vert_msk.nii.gz").dataobj)
    hu = np.asarray(nib.load(DATA / "rawdata" / CASE / f"{CASE}_ct.nii.gz").dataobj)
    inside, around = np.median(hu[mask > 0]), np.median(hu[hu > -200])
    assert inside > around + 60


def test_nothing_odd_is_reported(output):
    (case,) = json.loads((output / "run.json").read_text())["cases"]
    assert case["status"] == "succeeded"
    assert case["flags"] == []
