import fcntl
import os
import signal
import subprocess
import sys
import termios
import time

import pytest

from tests.helpers.batches import FakePipeline, files, report, run, scans
from tests.helpers.fake_command import ROOT, fake_command
from verse_infer.batch.report import RunSettings
from verse_infer.batch.run import Interrupted
from verse_infer.files.atomic import MARK, atomic_write


def test_outputs_and_report_of_a_folder(tmp_path):
    source = scans(tmp_path / "in", "a.nii.gz", "sub-1/sub-1_ct.nii.gz")
    run(source, tmp_path / "out", FakePipeline())
    assert files(tmp_path / "out") == [
        "a_ctd.json",
        "a_report.json",
        "a_seg.nii.gz",
        "a_snp.png",
        "run.json",
        "sub-1/sub-1_seg-subreg_ctd.json",
        "sub-1/sub-1_seg-vert_msk.nii.gz",
        "sub-1/sub-1_seg-vert_report.json",
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


ENDINGS = [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), ENDINGS)
def test_signals_end_cleanly_and_a_second_run_continues(tmp_path, number, code):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    command = fake_command(source, output, "--no-preview")
    environment = {**os.environ, "SLOW_S": "1.5"}
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


@pytest.mark.parametrize(("number", "code"), ENDINGS)
def test_a_signal_before_anything_is_found_ends_at_once(tmp_path, number, code):
    """A folder that takes long to list; Python's own start would die of the signal itself."""
    source = tmp_path / "in"
    source.mkdir()
    script = (
        "import os, signal, sys\n"
        "from verse_infer import cli\n"
        f"cli.discover = lambda *_: os.kill(os.getpid(), {int(number)}) or [][0]\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    words = ["--input", str(source), "--output", str(tmp_path / "out")]
    process = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (code, "interrupted; run again to continue\n")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_nohup_lets_be_ignored_stays_ignored(tmp_path, number):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii"), tmp_path / "out"
    process = subprocess.Popen(
        fake_command(source, output, "--no-preview"),
        cwd=ROOT,
        env={**os.environ, "SLOW_S": "0.5"},
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),  # noqa: PLW1509
    )
    wait_for(output / "a_seg.nii.gz")
    process.send_signal(number)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert report(output)["complete"] is True


def at_a_terminal(command, environment, ignoring=None):
    """A process whose terminal this is, and the terminal's other end."""
    master, slave = os.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        if ignoring is not None:
            signal.signal(ignoring, signal.SIG_IGN)

    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=own_terminal,  # noqa: PLW1509 - no threads here
    )
    os.close(slave)
    return process, master


def test_a_terminal_that_is_closed_ends_the_run_and_the_next_one_continues(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    command, environment = fake_command(source, output), {**os.environ, "SLOW_S": "1"}
    process, master = at_a_terminal(command, environment)
    wait_for(output / "a_seg.nii.gz")
    os.close(master)
    assert process.wait(timeout=60) == 129
    assert report(output)["interrupted"] is True
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert report(output)["summary"]["resumed"] >= 1


def test_under_nohup_a_run_goes_on_without_its_terminal(tmp_path):
    """Nobody reads the log and the progress bar any more."""
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    environment = {**os.environ, "SLOW_S": "1"}
    process, master = at_a_terminal(fake_command(source, output), environment, signal.SIGHUP)
    wait_for(output / "a_seg.nii.gz")
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert report(output)["complete"] is True


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()
