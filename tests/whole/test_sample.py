"""The main job on the synthetic sample, from file to file."""

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from verse_train.check import compare
from verse_train.synthetic.sample import write_sample

OUTPUTS = ("sub-sample_seg-subreg_ctd.json", "sub-sample_seg-vert_msk.nii.gz")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="module")
def output(sample, run_command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("output")
    process = run_command("--input", sample, "--output", folder)
    assert process.returncode == 0, process.stderr
    return folder


def results(folder):
    return {path.name: path for path in folder.rglob("sub-sample_*")}


def test_all_vertebrae_are_found_named_and_segmented(sample, output):
    (comparison,) = compare(sample, output)
    assert comparison.hits == comparison.total == 10
    assert not comparison.extra
    assert max(comparison.distances.values()) <= 5.0
    assert comparison.mean_dice >= 0.85


def test_the_mask_lies_on_the_scans_own_grid(sample, output):
    scan = nib.load(next((sample / "rawdata").rglob("*_ct.nii.gz")))
    mask = nib.load(results(output)["sub-sample_seg-vert_msk.nii.gz"])
    assert mask.shape == scan.shape
    assert np.array_equal(mask.affine, scan.affine)
    assert mask.get_data_dtype() == np.uint8


def test_the_report_tells_what_was_done(output):
    report = json.loads((output / "run.json").read_text())
    (case,) = report["cases"]
    assert case["status"] == "succeeded"
    assert len(case["vertebrae"]) == 10
    assert all(seconds >= 0 for seconds in case["seconds"].values())


def test_the_preview_is_a_picture(output):
    assert results(output)["sub-sample_seg-vert_snp.png"].read_bytes().startswith(b"\x89PNG")


def test_a_second_run_gives_the_same_bytes_and_a_resumed_one_does_nothing(
    sample, output, run_command, tmp_path
):
    process = run_command("--input", sample, "--output", tmp_path)
    assert process.returncode == 0, process.stderr
    for name in OUTPUTS:
        first, second = (
            hashlib.sha256(results(folder)[name].read_bytes()).hexdigest()
            for folder in (output, tmp_path)
        )
        assert first == second, name
    before = {path: path.stat().st_mtime_ns for path in results(tmp_path).values()}
    assert run_command("--input", sample, "--output", tmp_path).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in results(tmp_path).values()}


def test_edited_centroids_replace_localisation(sample, output, run_command, tmp_path):
    path = results(output)[OUTPUTS[0]]
    edited = json.loads(path.read_text())[:3]  # the direction and two vertebrae
    copy = tmp_path / "edited" / path.relative_to(output)
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(edited))
    arguments = ("--centroids-from", tmp_path / "edited", "--no-preview")
    process = run_command("--input", sample, "--output", tmp_path / "out", *arguments)
    assert process.returncode == 0, process.stderr
    mask = np.asarray(nib.load(results(tmp_path / "out")[OUTPUTS[1]]).dataobj)
    assert set(np.unique(mask)) == {0, *(entry["label"] for entry in edited[1:])}


def test_what_the_sequence_rule_loses_is_flagged(sample, run_command, tmp_path):
    """It takes each name once: where two bodies are called alike, one is left out."""
    options = ["--labelling", "sequence", "--no-preview"]
    process = run_command("--input", sample, "--output", tmp_path, *options)
    assert process.returncode == 0, process.stderr
    (comparison,) = compare(sample, tmp_path)
    (case,) = json.loads((tmp_path / "run.json").read_text())["cases"]
    flagged = {flag["code"] for flag in case["flags"]}
    assert not comparison.missed or flagged & {"vertebra_left_out", "step_implausible"}
