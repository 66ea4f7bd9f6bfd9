"""Read-only root, empty /tmp, no network, and nothing written but to the output folder."""

import sys

import pytest

from tests.faults.sandbox import in_sandbox
from tests.infer.fake_command import ROOT, fake_command
from tests.infer.test_batch import files, report, scans
from verse_infer.temporary import NAME
from verse_train.synthetic.sample import write_sample


def test_the_command_needs_no_place_but_the_output(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b/c.nii"), tmp_path / "out"
    output.mkdir()
    process = in_sandbox(fake_command(source, output), output, cwd=ROOT, timeout=120)
    assert process.returncode == 0, process.stderr
    assert report(output)["summary"]["succeeded"] == 2
    assert len(files(output)) == 7


def test_libraries_get_a_temporary_folder_and_leave_none(tmp_path):
    """Importing TensorFlow fails where there is none."""
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    (output / NAME / "left").mkdir(parents=True)
    command = [sys.executable, str(ROOT / "entrypoint.py"), "--input", source, "--output", output]
    process = in_sandbox([*command, "--weights", tmp_path], output, cwd=ROOT, timeout=120)
    assert "manifest.json: no such file" in process.stderr
    assert list(output.iterdir()) == []


@pytest.mark.slow
def test_the_networks_run_there_too(tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    write_sample(source)
    output.mkdir()
    command = [sys.executable, str(ROOT / "entrypoint.py"), "--input", source, "--output", output]
    process = in_sandbox(command, output, cwd=ROOT, timeout=600)
    assert process.returncode == 0, process.stderr
    assert "no GPU" in process.stderr
    assert not [name for name in files(output) if name.startswith(".")]
