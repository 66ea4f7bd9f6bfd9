"""Process 1, read-only root, empty /tmp, no network, a user nobody knows; writes to the output only."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.batches import files, report, scans
from tests.helpers.fake_command import ROOT, fake_command
from tests.helpers.outputs import partial_files
from tests.helpers.sandbox import STRANGER, closed_above, in_sandbox, sandboxed
from verse_infer.files.atomic import TEMPORARY
from verse_train.synthetic.sample import write_sample


@pytest.fixture
def strangers_output(open_room):
    """A folder that belongs to a user the machine does not know."""
    if os.getuid() != 0 or closed_above(ROOT):
        pytest.skip("needs root, and a checkout that any user can read")
    output = open_room / "out"
    output.mkdir()
    os.chown(output, STRANGER, STRANGER)
    return output


def written(output):
    """What run.json says was written, and itself."""
    cases = report(output)["cases"]
    return sorted(["run.json", *(name for case in cases for name in case["outputs"])])


def owners(output):
    return {(path.stat().st_uid, path.stat().st_gid) for path in output.rglob("*")}


def test_the_command_needs_no_place_but_the_output(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b/c.nii"), tmp_path / "out"
    output.mkdir()
    process = in_sandbox(fake_command(source, output), output, cwd=ROOT, timeout=120)
    assert process.returncode == 0, process.stderr
    assert report(output)["summary"]["succeeded"] == 2
    assert files(output) == written(output)


def test_outputs_belong_to_whoever_runs_it(open_room, strangers_output):
    source = scans(open_room / "in", "a.nii", "b/c.nii")
    command = fake_command(source, strangers_output)
    process = in_sandbox(command, strangers_output, STRANGER, cwd=ROOT, timeout=120)
    assert process.returncode == 0, process.stderr
    assert files(strangers_output) == written(strangers_output)
    assert owners(strangers_output) == {(STRANGER, STRANGER)}


def test_an_output_of_somebody_else_is_refused(open_room, strangers_output):
    source = scans(open_room / "in", "a.nii")
    os.chown(strangers_output, 0, 0)
    command = fake_command(source, strangers_output)
    process = in_sandbox(command, strangers_output, STRANGER, cwd=ROOT, timeout=120)
    assert process.returncode == 2
    assert "expected a folder to write to" in process.stderr
    assert "Permission denied" in process.stderr


def test_a_container_that_is_stopped_ends_at_once_and_cleanly(tmp_path):
    """Docker sends SIGTERM to process 1, which has no default for it, and waits for 10 s."""
    source, output = scans(tmp_path / "in", "a.nii", "b.nii", "c.nii"), tmp_path / "out"
    output.mkdir()
    process = subprocess.Popen(
        sandboxed(fake_command(source, output), output),
        cwd=ROOT,
        env={**os.environ, "SLOW_S": "3"},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (output / "a_seg.nii.gz").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(first), signal.SIGTERM)
    _, log = process.communicate(timeout=10)
    assert process.returncode == 143, log
    assert "interrupted" in log
    assert "Traceback" not in log
    assert report(output)["interrupted"] is True
    assert partial_files(output) == []


def test_libraries_get_a_temporary_folder_and_leave_none(tmp_path):
    """Importing TensorFlow fails where there is none."""
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    (output / f"{TEMPORARY}-7" / "left").mkdir(parents=True)
    command = [sys.executable, str(ROOT / "entrypoint.py"), "--input", source, "--output", output]
    process = in_sandbox([*command, "--weights", tmp_path], output, cwd=ROOT, timeout=120)
    assert "manifest.json: no such file" in process.stderr
    assert list(output.iterdir()) == []


@pytest.mark.slow
def test_the_networks_run_there_too(open_room, strangers_output):
    source = open_room / "in"
    write_sample(source)
    command = [sys.executable, str(ROOT / "entrypoint.py"), "--input", source]
    process = in_sandbox(
        [*command, "--output", strangers_output],
        strangers_output,
        STRANGER,
        cwd=ROOT,
        timeout=900,
    )
    assert process.returncode == 0, process.stderr
    assert "no GPU: networks run on the processor" in process.stderr
    assert report(strangers_output)["device"] == "/CPU:0"
    assert not [name for name in files(strangers_output) if name.startswith(".")]
    assert owners(strangers_output) == {(STRANGER, STRANGER)}
