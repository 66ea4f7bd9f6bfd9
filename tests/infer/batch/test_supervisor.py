"""A case that ends its process costs itself only."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.batches import files, report
from tests.helpers.fake_command import ROOT, fake_command
from verse_infer.batch import supervisor
from verse_infer.batch.case import CaseOptions
from verse_infer.batch.discovery import find_cases
from verse_infer.batch.report import CaseReport
from verse_infer.batch.supervisor import (
    Limits,
    Worker,
    available_memory,
    resident_memory,
)
from verse_infer.batch.worker import (
    WorkerSetup,
    case_from,
    report_from,
    serve,
    setup_from,
    to_line,
)
from verse_infer.errors import UsageError
from verse_infer.files.ct_reading import GIB, scan_memory
from verse_infer.flags import Flag, FlagCode

ODD = (Flag(FlagCode.NO_SPINE, "no spine …", 0.5),)
CRASH, KILLED, EXIT, HANG, HOG, CHATTY = range(501, 507)


def scan(folder, name, mishap=400):
    folder.mkdir(parents=True, exist_ok=True)
    values = np.linspace(-1000, mishap, 720).reshape(8, 9, 10).astype(np.int16)
    nib.Nifti1Image(values, np.diag([1, 1, 2, 1])).to_filename(folder / name)


def batch(tmp_path, mishaps, *arguments, **environment):
    """Run the command over one scan per mishap; returns the process and the cases' reports."""
    source, output, diary = tmp_path / "in", tmp_path / "out", tmp_path / "diary"
    for number, mishap in enumerate(mishaps):
        scan(source, f"{number}.nii", mishap)
    process = subprocess.run(
        fake_command(source, output, "--no-preview", *arguments),
        cwd=ROOT,
        env={**os.environ, "DIARY": str(diary), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return process, report(output)["cases"]


@pytest.mark.parametrize(
    ("mishap", "arguments", "phrase"),
    [
        (CRASH, (), "SIGSEGV"),
        (KILLED, (), "SIGKILL (out of memory?)"),
        (EXIT, (), "ended with code 7"),
        (HANG, ("--case-timeout-s", "1"), "time limit of 1 s"),
        (HOG, ("--memory-gib", "1"), "out of memory: "),
    ],
)
def test_a_deadly_case_is_named_and_the_others_are_done(tmp_path, mishap, arguments, phrase):
    process, cases = batch(tmp_path, [400, mishap, 400], *arguments)
    assert process.returncode == 3, process.stderr
    assert [case["status"] for case in cases] == ["succeeded", "failed", "succeeded"]
    assert phrase in cases[1]["error"]
    assert "1.nii: expected a result, got: " in cases[1]["error"]
    assert "Traceback" not in process.stderr
    assert process.stderr.splitlines()[-1].endswith("failed: 1.nii")
    assert [f for f in files(tmp_path / "out") if f.startswith(("1", "."))] == []


def test_the_worker_serves_many_cases_and_is_replaced_only_when_lost(tmp_path):
    _, cases = batch(tmp_path, [400, 400, EXIT, 400, 400])
    assert [case["status"] for case in cases].count("succeeded") == 4
    workers = (tmp_path / "diary").read_text().split()[::2]
    # 0, 1 and 2 in the first; 2 once more, in vain, in a second; 3 and 4 in a third.
    assert [workers.index(worker) for worker in workers] == [0, 0, 0, 3, 4, 4]


def test_all_deadly_ends_with_4(tmp_path):
    process, cases = batch(tmp_path, [CRASH, EXIT])
    assert process.returncode == 4
    assert all(case["error"] for case in cases)


def test_what_native_code_prints_does_not_disturb_the_conversation(tmp_path):
    process, cases = batch(tmp_path, [CHATTY, 400])
    assert process.returncode == 0
    assert [case["status"] for case in cases] == ["succeeded", "succeeded"]
    assert "native code prints" in process.stderr
    assert process.stdout == ""


def setup(tmp_path, **options):
    return WorkerSetup(tmp_path, CaseOptions(tmp_path / "out", **options))


def test_a_worker_that_cannot_load_says_why(tmp_path):
    with pytest.raises(UsageError, match="manifest"):
        Worker(setup(tmp_path)).start()


def test_a_worker_that_dies_while_loading_says_so(tmp_path):
    with pytest.raises(UsageError, match="ended with code 1"):
        Worker(setup(tmp_path), module="no.such.module").start()


def test_a_worker_that_never_gets_ready_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "LOADING_S", 0.5)
    monkeypatch.setenv("LOADING_S", "3600")
    worker = Worker(setup(tmp_path), module="tests.helpers.fake_worker")
    with pytest.raises(UsageError, match="no result within the time limit"):
        worker.start()


def test_a_worker_without_a_command_ends_quietly():
    answers = io.BytesIO()
    serve(lambda _: pytest.fail("nothing to load"), io.BytesIO(), answers)
    assert answers.getvalue() == b""


def until(true):
    """Wait until it is, for a minute at most; says whether it is."""
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def test_a_worker_does_not_outlive_its_command(tmp_path):
    scan(tmp_path / "in", "a.nii", HANG)
    diary = tmp_path / "diary"
    diary.touch()
    process = subprocess.Popen(
        fake_command(tmp_path / "in", tmp_path / "out"),
        cwd=ROOT,
        env={**os.environ, "DIARY": str(diary)},
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: "\n" in diary.read_text())
        worker = int(diary.read_text().split()[0])
        assert resident_memory(worker) > 0
    finally:
        process.kill()
        process.wait()
    assert until(lambda: resident_memory(worker) == 0)


def test_files_of_the_current_folder_are_no_code(tmp_path):
    scan(tmp_path / "in", "a.nii")
    (tmp_path / "in" / "numpy.py").write_text("raise SystemExit('taken over')")
    command = [sys.executable, str(ROOT / "entrypoint.py")]
    process = subprocess.run(
        [*command, "--input", ".", "--output", "../out", "--weights", str(tmp_path)],
        cwd=tmp_path / "in",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 2
    assert "taken over" not in process.stderr
    assert "manifest.json" in process.stderr


def test_messages_survive_odd_names(tmp_path):
    name = os.fsdecode(b"a \xfc\n\xe8\x84\x8a.nii")
    scan(tmp_path / "in", name)
    (case,) = find_cases(tmp_path / "in", tmp_path / "out", "verse")
    assert to_line(case).count(b"\n") == 1
    assert case_from(to_line(case)) == case
    given = setup(tmp_path, memory_limit=5, centroids_from=Path("x"))
    assert setup_from(to_line(given)) == given
    done = CaseReport(name, "failed", (1, 2), ("x",), ("L1",), ODD, "got: …", {"read": 0.1})
    assert report_from(to_line(done)) == done


def test_memory_is_that_of_the_container_or_the_machine(tmp_path):
    assert available_memory(()) > GIB / 2
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")
    assert available_memory((tmp_path / "none", limit)) == 1000000
    limit.write_text("max\n")
    assert available_memory((limit,)) == available_memory(())


def test_memory_of_a_scan_follows_from_its_header():
    whole_spine = scan_memory((512, 512, 1000), (400.0, 400.0, 700.0))
    assert 1.5 * GIB < whole_spine < 3 * GIB
    assert scan_memory((512, 512, 2000), (400.0, 400.0, 1400.0)) > whole_spine


def test_limits_have_defaults():
    assert Limits() == Limits(0.0, None)
