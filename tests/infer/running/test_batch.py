import json
import os
import signal
import subprocess
import time

import nibabel as nib
import numpy as np
import pytest

from tests.infer.fake_command import ROOT, fake_command
from verse_infer.atomic import MARK, atomic_write
from verse_infer.centroids import Centroid
from verse_infer.pipeline import CaseResult
from verse_infer.running.batch import BatchOptions, Interrupted, run_batch
from verse_infer.running.case_work import CaseOptions, attempt_case
from verse_infer.running.cases import find_cases
from verse_infer.running.run_report import RunSettings

SETTINGS = RunSettings({"m": "0"}, "/CPU:0", "float32", {"labelling": None})


class FakePipeline:
    """Finds L1 in the middle of every CT; counts its runs; fails where told to."""

    def __init__(self, error=None, fails_at=-1, slow_s=0.0):
        self.runs, self.error, self.fails_at, self.slow_s = 0, error, fails_at, slow_s
        self.given = []

    def run(self, ct, centroids=None):
        self.runs += 1
        self.given.append(centroids)
        time.sleep(self.slow_s)
        if self.runs - 1 == self.fails_at:
            raise self.error
        x, y, z = ct.lattice.corners().mean(axis=0).tolist()
        mask = np.zeros(ct.hu.shape, np.uint8)
        mask[2:5, 2:5, 2:5] = 20
        return CaseResult((Centroid(20, (x, y, z), 0.9),), mask, ct.flags, {"stage": 0.1})


def scans(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(len(name)).integers(-900, 1500, (8, 9, 10))
        nib.Nifti1Image(values.astype(np.int16), np.diag([1, 1, 2, 1])).to_filename(path)
    return root


def run(source, output, pipeline, resume=True, settings=SETTINGS, **options):
    cases = find_cases(source, output, options.get("convention", "verse"))
    case_options = CaseOptions(output, **options)
    return run_batch(
        cases,
        lambda case, _: attempt_case(case, pipeline, case_options),
        settings,
        BatchOptions(output, resume, options.get("centroids_from")),
    )


def report(output):
    return json.loads((output / "run.json").read_text())


def files(output):
    return sorted(p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file())


def test_outputs_and_report_of_a_folder(tmp_path):
    source = scans(tmp_path / "in", "a.nii.gz", "sub-1/sub-1_ct.nii.gz")
    run(source, tmp_path / "out", FakePipeline())
    assert files(tmp_path / "out") == [
        "a_ctd.json",
        "a_seg.nii.gz",
        "a_snp.png",
        "run.json",
        "sub-1/sub-1_seg-subreg_ctd.json",
        "sub-1/sub-1_seg-vert_msk.nii.gz",
        "sub-1/sub-1_seg-vert_snp.png",
    ]
    content = report(tmp_path / "out")
    assert content["summary"] == {"cases": 2, "succeeded": 2, "failed": 0, "resumed": 0}
    assert content["cases"][0]["vertebrae"] == ["L1"]
    assert content["cases"][0]["seconds"].keys() == {"read", "stage", "write", "total"}
    assert content["interrupted"] is False


@pytest.mark.parametrize("error", [ValueError("bug"), MemoryError(), RuntimeError("x" * 5000)])
def test_one_failure_never_stops_the_others(tmp_path, error):
    source = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii")
    reports = run(source, tmp_path / "out", FakePipeline(error, fails_at=1))
    assert [r.status for r in reports] == ["succeeded", "failed", "succeeded"]
    assert reports[1].error
    assert not list((tmp_path / "out").glob("b_*"))


def test_a_broken_scan_is_named_in_the_report(tmp_path):
    source = scans(tmp_path / "in", "a.nii")
    (source / "b.nii.gz").write_bytes(b"no scan")
    run(source, tmp_path / "out", FakePipeline())
    failed = report(tmp_path / "out")["cases"][1]
    assert failed["status"] == "failed"
    assert "b.nii.gz" in failed["error"]


def test_rivals_never_overwrite_each_other(tmp_path):
    source = scans(tmp_path / "in", "a.nii", "a.nii.gz")
    first, second = run(source, tmp_path / "out", FakePipeline())
    assert (first.status, second.status) == ("succeeded", "failed")
    assert "a.nii" in second.error


def test_a_second_run_does_only_what_is_missing_or_changed(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    run(source, output, FakePipeline(ValueError("once"), fails_at=2))
    (output / "a_seg.nii.gz").unlink()
    pipeline = FakePipeline()
    reports = run(source, output, pipeline)
    assert pipeline.runs == 2  # a lost an output, c had failed
    assert [r.resumed for r in reports] == [False, True, False]
    os.utime(source / "b.nii", ns=(1, 1))
    pipeline = FakePipeline()
    run(source, output, pipeline)
    assert pipeline.runs == 1
    pipeline = FakePipeline()
    run(source, output, pipeline, resume=False)
    assert pipeline.runs == 3


def test_a_case_whose_centroids_were_edited_again_is_done_again(tmp_path):
    source, first = scans(tmp_path / "in", "a.nii", "b.nii"), tmp_path / "first"
    run(source, first, FakePipeline())
    run(source, tmp_path / "out", FakePipeline(), centroids_from=first)
    written = (tmp_path / "out" / "a_seg.nii.gz").stat().st_mtime_ns
    os.utime(first / "a_ctd.json", ns=(written + 1, written + 1))
    reports = run(source, tmp_path / "out", FakePipeline(), centroids_from=first)
    assert [r.resumed for r in reports] == [False, True]


def test_every_attempt_is_told_which_case_is_attempted_next(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii", "d.nii"), tmp_path / "out"
    run(source, output, FakePipeline())
    for name in ("a", "c", "d"):
        (output / f"{name}_seg.nii.gz").unlink()
    told = []

    def attempt(case, following):
        told.append((case.path.name, following and following.path.name))
        return attempt_case(case, FakePipeline(), CaseOptions(output))

    cases = find_cases(source, output, "verse")
    run_batch(cases, attempt, SETTINGS, BatchOptions(output))
    assert told == [("a.nii", "c.nii"), ("c.nii", "d.nii"), ("d.nii", None)]
    told.clear()
    run_batch(cases, attempt, SETTINGS, BatchOptions(output))
    assert told == []


def test_other_settings_start_anew(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    run(source, output, FakePipeline())
    other = RunSettings({"m": "1"}, "/CPU:0", "float32", {"labelling": None})
    pipeline = FakePipeline()
    run(source, output, pipeline, settings=other)
    assert pipeline.runs == 1


def test_stale_partial_files_are_removed(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    (output / "deep").mkdir(parents=True)
    (output / "deep" / f"{MARK}-7-x.nii.gz").write_bytes(b"half")
    (output / "notes.txt").write_text("mine")
    run(source, output, FakePipeline())
    assert not [name for name in files(output) if MARK in name]
    assert (output / "notes.txt").exists()


def test_edited_centroids_are_passed_on(tmp_path):
    source, first = scans(tmp_path / "in", "a.nii"), tmp_path / "first"
    run(source, first, FakePipeline())
    path = first / "a_ctd.json"
    path.write_text(path.read_text().replace('"label": 20', '"label": 21'))
    pipeline = FakePipeline()
    run(source, tmp_path / "second", pipeline, centroids_from=first)
    assert [c.label for c in pipeline.given[0]] == [21]


def test_interruption_leaves_whole_files_and_says_so(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii"), tmp_path / "out"
    with pytest.raises(Interrupted):
        run(source, output, FakePipeline(Interrupted(15), fails_at=1))
    content = report(output)
    assert content["interrupted"] is True
    assert content["summary"]["succeeded"] == 1
    assert not [name for name in files(output) if name.startswith("b_") or MARK in name]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write_half_and_fail() -> None:
        with atomic_write(path) as partial:
            partial.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half_and_fail()
    assert path.read_text() == "old"
    assert files(tmp_path) == ["x.txt"]


@pytest.mark.parametrize(
    ("number", "code", "device"),
    [
        (signal.SIGTERM, 143, "/CPU:0"),
        (signal.SIGINT, 130, "/CPU:0"),
        (signal.SIGTERM, 143, "/GPU:0"),
    ],
)
def test_signals_end_cleanly_and_a_second_run_continues(tmp_path, number, code, device):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    command = fake_command(source, output, "--no-preview")
    environment = {**os.environ, "SLOW_S": "1.5", "DEVICE": device}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (output / "a_seg.nii.gz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    assert process.returncode == code, log.decode()
    assert b"Traceback" not in log
    assert report(output)["interrupted"] is True
    assert not [name for name in files(output) if MARK in name]
    environment["SLOW_S"] = "0"
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    content = report(output)
    assert content["summary"]["succeeded"] == 3
    assert content["summary"]["resumed"] >= 1
