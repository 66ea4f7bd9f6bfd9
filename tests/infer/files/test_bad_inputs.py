"""Every bad input has its stated outcome: processed, processed with flag, or refused by name."""

import subprocess
import sys
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.bad_inputs import BAD_INPUTS, FLAGGED, PROCESSED, REFUSED, image
from tests.helpers.batches import FakePipeline, files, report, run, scans
from tests.helpers.fake_command import ROOT, fake_command
from verse_infer.batch.case import CaseOptions, attempt_case
from verse_infer.batch.discovery import find_cases
from verse_infer.files.ct_reading import GIB
from verse_infer.flags import FlagCode

MEMORY_LIMIT = 2**27


def outcome(case):
    if case["status"] == "failed":
        return REFUSED
    return FLAGGED if case["flags"] else PROCESSED


@pytest.mark.parametrize("item", BAD_INPUTS, ids=[ascii(item.name)[:40] for item in BAD_INPUTS])
def test_a_bad_input_has_its_stated_outcome(tmp_path, item):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    item.write(source / item.name)
    tracemalloc.start()
    run(source, output, FakePipeline(), memory_limit=MEMORY_LIMIT, preview=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (case,) = report(output)["cases"]
    assert outcome(case) == item.outcome, case
    assert peak < MEMORY_LIMIT
    if item.outcome == REFUSED:
        assert item.said in case["error"]
        assert "expected" in case["error"]
        assert "got" in case["error"]
        assert item.name in case["error"]
        assert "Traceback" not in case["error"]
        assert files(output) == ["run.json"]
        return
    codes = [flag["code"] for flag in case["flags"]]
    assert item.said in codes or item.outcome == PROCESSED
    mask = nib.load(output / case["outputs"][-1])
    scan = nib.load(source / item.name)
    assert np.array_equal(mask.affine, scan.affine)


def test_a_whole_folder_of_them_comes_to_its_end(tmp_path):
    """By the command itself, in a process per worker: no traceback, no line of a file's making."""
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for item in BAD_INPUTS:
        item.write(source / item.name)
    process = subprocess.run(
        fake_command(source, output, "--no-preview", "--memory-gib", 2 * MEMORY_LIMIT / GIB),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    content = report(output)
    found = {case["input"]: outcome(case) for case in content["cases"]}
    stated = {item.name: item.outcome for item in BAD_INPUTS}
    assert found == stated
    assert content["summary"]["failed"] == sum(o == REFUSED for o in stated.values())
    assert content["complete"] is True
    assert process.returncode == 3
    assert "Traceback" not in process.stderr
    assert all(line[:2] == "20" for line in process.stderr.splitlines()), process.stderr


def test_what_lies_in_a_folder_named_like_a_file_is_processed(tmp_path):
    source = scans(tmp_path / "in", "x.nii.gz/x.nii", "y.nii/y.nii.gz")
    run(source, tmp_path / "out", FakePipeline(), preview=False)
    assert report(tmp_path / "out")["summary"]["succeeded"] == 2


def test_same_names_in_different_folders_stay_apart(tmp_path):
    source = scans(tmp_path / "in", "a/x.nii", "b/x.nii", "x.nii")
    run(source, tmp_path / "out", FakePipeline(), preview=False)
    assert [f for f in files(tmp_path / "out") if f.endswith("_seg.nii.gz")] == [
        "a/x_seg.nii.gz",
        "b/x_seg.nii.gz",
        "x_seg.nii.gz",
    ]


def test_a_link_to_a_scan_elsewhere_is_processed_and_flagged(tmp_path):
    store = scans(tmp_path / "store", "far.nii")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "near.nii").symlink_to(store / "far.nii")
    (tmp_path / "in" / "secret.nii").symlink_to("/etc/passwd")
    run(tmp_path / "in", tmp_path / "out", FakePipeline(), preview=False)
    near, secret = report(tmp_path / "out")["cases"]
    assert [flag["code"] for flag in near["flags"]] == [FlagCode.SYMBOLIC_LINK]
    assert secret["status"] == "failed"
    assert "got" in secret["error"]
    assert "/bin/" not in secret["error"]
    written = {name for name in files(tmp_path / "out") if name != "run.json"}
    assert written == set(near["outputs"])


def test_links_in_the_output_do_not_lead_out_of_it(tmp_path):
    source = scans(tmp_path / "in", "a/x.nii")
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "outside")
    run(source, tmp_path / "out", FakePipeline())
    (case,) = report(tmp_path / "out")["cases"]
    assert "inside" in case["error"]
    assert not list((tmp_path / "outside").iterdir())


def test_a_file_that_changes_while_read_is_refused(tmp_path, monkeypatch):
    source = scans(tmp_path / "in", "a.nii")

    def read_while_growing(path, _):
        with path.open("ab") as file:
            file.write(b"more")
        return read(path)

    from verse_infer.batch import case as work

    read = work.read_ct
    monkeypatch.setattr(work, "read_ct", read_while_growing)
    run(source, tmp_path / "out", FakePipeline())
    (case,) = report(tmp_path / "out")["cases"]
    assert "changed while read" in case["error"]


def test_a_file_that_vanishes_is_refused(tmp_path):
    source = scans(tmp_path / "in", "a.nii")
    (case,) = find_cases(source, tmp_path / "out", "verse")
    case.path.unlink()
    done = attempt_case(case, FakePipeline(), CaseOptions(tmp_path / "out"))
    assert "no such file" in done.error


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from tests.helpers.batches import FakePipeline, run
if os.getuid() == 0:
    os.setgroups([]); os.setgid(12345); os.setuid(12345)
run(Path(sys.argv[1]), Path(sys.argv[2]), FakePipeline(), preview=False)
"""


def test_unreadable_files_and_folders_are_refused_by_name(open_room):
    """As a user without rights: root may read everything."""
    source, output = scans(open_room / "in", "a.nii", "b.nii", "closed/c.nii"), open_room / "out"
    output.mkdir()
    output.chmod(0o777)
    (source / "b.nii").chmod(0)
    (source / "closed").chmod(0)
    command = [sys.executable, "-c", UNPRIVILEGED, str(source), str(output)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    (source / "closed").chmod(0o755)
    good, file, folder = report(output)["cases"]
    assert good["status"] == "succeeded"
    assert file["error"].endswith("b.nii: expected a readable file, got: Permission denied")
    assert folder["error"].endswith("closed: expected a file, got a folder that cannot be listed")


def test_the_smallest_scan_gets_its_picture(tmp_path):
    (tmp_path / "in").mkdir()
    image(np.linspace(-1000, 900, 64).reshape(4, 4, 4)).to_filename(tmp_path / "in" / "a.nii")
    pipeline = FakePipeline()
    run(tmp_path / "in", tmp_path / "out", pipeline)
    assert report(tmp_path / "out")["summary"]["succeeded"] == 1
