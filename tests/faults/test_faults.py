"""What goes wrong around a run: no room, no right to write, folders and files that go away."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.batches import FakePipeline, files, report, run, scans
from tests.helpers.fake_command import ROOT, fake_command
from tests.helpers.mounts import small_disk
from tests.helpers.outputs import faults_of, partial_files
from verse_infer.errors import UsageError
from verse_infer.files import atomic


def start(source, output, *arguments, slow_s=0.0):
    return subprocess.Popen(
        fake_command(source, output, *arguments),
        cwd=ROOT,
        env={**os.environ, "SLOW_S": str(slow_s)},
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    _, log = process.communicate(timeout=120)
    assert "Traceback" not in log, log
    return process.returncode, log


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_a_full_disk_costs_the_cases_that_found_no_room(tmp_path):
    names = [f"{n}.nii" for n in range(6)]
    source, output = scans(tmp_path / "in", *names), tmp_path / "out"
    with small_disk(output, "64k") as change:
        code, log = end(start(source, output))
        assert code in (2, 3), log
        assert "No space left on device" in log
        assert faults_of(output) == []
        assert partial_files(output) == []
        change("size=10m")
        code, log = end(start(source, output))
        assert code == 0, log
        assert report(output)["summary"]["succeeded"] == 6
        assert report(output)["summary"]["resumed"] >= 1


def test_an_output_that_becomes_read_only_is_said_and_ends_with_2(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    with small_disk(output, "10m") as change:
        process = start(source, output, slow_s=1.0)
        wait_for(output / "a_seg.nii.gz")
        time.sleep(0.3)
        change("ro")
        code, log = end(process)
        assert code == 2
        assert "Read-only file system" in log
        change("rw")
        code, log = end(start(source, output))
        assert code == 0, log
        assert partial_files(output) == []


def test_an_output_that_is_read_only_from_the_start_ends_with_2(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    with small_disk(output, "1m") as change:
        change("ro")
        code, log = end(start(source, output))
    assert code == 2
    assert f"--output {output}: expected a folder to write to" in log


def test_an_output_that_vanishes_is_noticed_and_made_again(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    process = start(source, output, slow_s=1.0)
    wait_for(output / "a_seg.nii.gz")
    shutil.rmtree(output, ignore_errors=True)
    code, log = end(process)
    assert code == 3, log
    first, *others = report(output)["cases"]
    assert first["status"] == "failed"
    assert "expected its outputs to stay" in first["error"]
    assert [case["status"] for case in others] == ["succeeded", "succeeded"]
    code, log = end(start(source, output))
    assert code == 0, log
    assert report(output)["summary"]["resumed"] == 2


def test_an_input_that_vanishes_costs_its_cases(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    process = start(source, output, slow_s=1.0)
    wait_for(output / "a_seg.nii.gz")
    (source / "c.nii").unlink()
    code, log = end(process)
    assert code == 3, log
    assert "c.nii: expected a file, got no such file" in report(output)["cases"][2]["error"]


def test_a_failed_case_leaves_nothing_of_an_earlier_run(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    run(source, output, FakePipeline())
    run(source, output, FakePipeline(ValueError("now"), fails_at=0), resume=False)
    assert files(output) == ["run.json"]


def test_a_report_that_cannot_be_written_is_an_error_at_the_end(tmp_path, monkeypatch):
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    sync = os.fsync

    def no_room_for_reports(number):
        if "run.json" in str(Path(f"/proc/self/fd/{number}").readlink()):
            raise OSError(28, "No space left on device")
        sync(number)

    monkeypatch.setattr(atomic.os, "fsync", no_room_for_reports)
    with pytest.raises(UsageError, match="expected to write run"):
        run(source, output, FakePipeline())
    assert {"a_ctd.json", "a_snp.png"} <= {*files(output)}
    assert "run.json" not in files(output)


def test_a_run_killed_while_resuming_forgets_nothing(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    run(source, output, FakePipeline())
    (output / "a_seg.nii.gz").unlink()

    class Killed(BaseException):
        pass

    with pytest.raises(Killed):
        run(source, output, FakePipeline(Killed(), fails_at=0))
    content = report(output)
    assert content["complete"] is False
    assert [case["input"] for case in content["cases"]] == ["b.nii", "c.nii"]
    pipeline = FakePipeline()
    run(source, output, pipeline)
    assert pipeline.runs == 1
