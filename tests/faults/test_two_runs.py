"""Two runs on one output folder: the second is refused, and the first loses nothing."""

import os
import signal
import subprocess
import time

import pytest
from filelock import FileLock

from tests.helpers.batches import FakePipeline, files, report, run, scans
from tests.helpers.fake_command import ROOT, fake_command
from tests.helpers.outputs import faults_of, partial_files
from verse_infer.batch.run import LOCK_NAME, held
from verse_infer.errors import UsageError
from verse_infer.files.atomic import MARK, TEMPORARY, remove_partials_of

NAMES = tuple(f"{number}.nii" for number in range(4))


def start(source, output, slow_s=0.0):
    return subprocess.Popen(
        fake_command(source, output, "--no-preview"),
        cwd=ROOT,
        env={**os.environ, "SLOW_S": str(slow_s)},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_the_second_of_two_runs_is_refused_and_told_whose_the_folder_is(tmp_path):
    source, output = scans(tmp_path / "in", "0.nii", "1.nii"), tmp_path / "out"
    first = start(source, output, slow_s=10.0)  # longer than a command takes to start
    wait_for(output / "0_seg.nii.gz")
    second = start(source, output)
    _, log = second.communicate(timeout=60)
    assert second.returncode == 2, log
    assert f"that no other run writes to, got that of process {first.pid} on" in log
    assert "Traceback" not in log
    _, log = first.communicate(timeout=60)
    assert first.returncode == 0, log
    assert report(output)["summary"]["succeeded"] == 2
    assert faults_of(output) == []
    assert not [name for name in files(output) if name.startswith(".")]


def test_two_runs_that_start_at_once_do_every_case_once(tmp_path):
    source, output = scans(tmp_path / "in", *NAMES), tmp_path / "out"
    both = [start(source, output, slow_s=0.3) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)
    assert sorted(process.returncode for process in both) == [0, 2]
    assert report(output)["summary"]["succeeded"] == len(NAMES)
    assert faults_of(output) == []


def test_a_killed_run_holds_nothing(tmp_path):
    source, output = scans(tmp_path / "in", *NAMES), tmp_path / "out"
    first = start(source, output, slow_s=1.0)
    wait_for(output / "1_seg.nii.gz")  # the first one is reported by then
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    assert (output / LOCK_NAME).exists()
    second = start(source, output)
    _, log = second.communicate(timeout=60)
    assert second.returncode == 0, log
    assert report(output)["summary"]["resumed"] >= 1
    assert not (output / LOCK_NAME).exists()


def test_what_killed_runs_left_goes_when_the_folder_is_held_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f"{MARK}-7-x.nii.gz").write_bytes(b"half")
    (tmp_path / f"{TEMPORARY}-7").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    with held(tmp_path):
        assert files(tmp_path) == [LOCK_NAME, "notes.txt"]
        with (
            pytest.raises(UsageError, match=f"got that of process {os.getpid()} on"),
            held(tmp_path),
        ):
            pass
    assert files(tmp_path) == ["notes.txt"]
    assert not list(tmp_path.glob(f"{TEMPORARY}*"))


def test_only_the_files_of_the_process_that_ended_are_removed(tmp_path):
    for pid in (7, 77):
        (tmp_path / f"{MARK}-{pid}-x.json").write_text("half")
    remove_partials_of(7, tmp_path)
    assert partial_files(tmp_path) == [f"{MARK}-77-x.json"]


def test_where_there_are_no_locks_nobody_is_refused_and_nothing_removed(
    tmp_path, monkeypatch, caplog
):
    def no_locks(_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    output.mkdir()
    (output / f"{MARK}-7-x.json").write_text("of another run, perhaps")
    (done,) = run(source, output, FakePipeline())
    assert done.status == "succeeded"
    assert partial_files(output) == [f"{MARK}-7-x.json"]
    assert "cannot be locked, let no other run write there" in caplog.text
