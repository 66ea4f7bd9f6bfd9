"""What a run is started in makes no difference: closed streams, the host's packages and libraries."""

import itertools
import os
import subprocess
import sys

import pytest

from tests.helpers.batches import report, scans
from tests.helpers.fake_command import ROOT, fake_command
from tests.helpers.outputs import digests
from verse_infer.batch.case import CaseOptions
from verse_infer.batch.discovery import find_cases
from verse_infer.batch.supervisor import Worker
from verse_infer.batch.worker import WorkerSetup
from verse_train.synthetic.sample import write_sample

STREAMS = [s for n in (1, 2, 3) for s in itertools.combinations((0, 1, 2), n)]
CLOSED = {0: "<&-", 1: ">&-", 2: "2>&-"}
ENTRYPOINT = [sys.executable, str(ROOT / "entrypoint.py")]


def with_closed(streams, command, **options):
    """Run a command of which some standard streams are closed; the exit code."""
    script = 'exec "$@" ' + " ".join(CLOSED[number] for number in streams)
    return subprocess.run(
        ["sh", "-c", script, "sh", *map(str, command)], check=False, timeout=300, **options
    ).returncode


@pytest.mark.parametrize("streams", STREAMS)
def test_closed_streams_change_nothing(tmp_path, streams):
    source = scans(tmp_path / "in", "a.nii", "b/c.nii.gz")
    subprocess.run(fake_command(source, tmp_path / "plain"), cwd=ROOT, check=True)
    code = with_closed(streams, fake_command(source, tmp_path / "out"), cwd=ROOT)
    assert code == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "plain")
    assert len(digests(tmp_path / "out")) == 8


@pytest.mark.parametrize("streams", [(2,), (0, 1, 2)])
def test_exit_codes_stay_too(tmp_path, streams):
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    (source / "b.nii").write_bytes(b"no scan")
    assert with_closed(streams, fake_command(source, output), cwd=ROOT) == 3
    assert [case["status"] for case in report(output)["cases"]] == ["succeeded", "failed"]
    (tmp_path / "empty").mkdir()
    assert with_closed(streams, fake_command(tmp_path / "empty", output), cwd=ROOT) == 4
    assert with_closed(streams, fake_command(tmp_path / "none", output), cwd=ROOT) == 2
    wrong = fake_command(source, output, "--no-such-option")
    assert with_closed(streams, wrong, cwd=ROOT) == 2
    assert with_closed(streams, [*ENTRYPOINT, "--version"]) == 0


def test_a_log_that_cannot_be_written_changes_nothing(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = subprocess.run(
            fake_command(source, output), cwd=ROOT, stdout=full, stderr=full, check=False
        )
    assert process.returncode == 0
    assert report(output)["complete"] is True


@pytest.fixture
def host(tmp_path):
    """What a host may have: packages for another Python, and libraries for other programs."""
    folder = tmp_path / "host"
    (folder / "numpy").mkdir(parents=True)
    (folder / "numpy" / "__init__.py").write_text("raise ImportError('for another Python')")
    for name in ("scipy", "nibabel", "tensorflow", "enum", "typing", "json", "pathlib", "argparse"):
        (folder / f"{name}.py").write_text(f"raise ImportError('a stray {name}')")
    for name in ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libcrypto.so.3"):
        (folder / name).write_text("no library")
    return folder


SURROUNDINGS = {
    "PYTHONPATH": lambda host: ({"PYTHONPATH": str(host)}, [], None),
    "PYTHONPATH and more": lambda host: (
        {"PYTHONPATH": f"/nowhere:{host}:", "PYTHONSTARTUP": "x", "PYTHONWARNINGS": "error"},
        [],
        None,
    ),
    "working folder": lambda host: ({}, [], host),
    "working folder and PYTHONPATH": lambda host: ({"PYTHONPATH": ""}, [], host),
    "LD_LIBRARY_PATH": lambda host: ({"LD_LIBRARY_PATH": str(host)}, [], None),
    "LD_LIBRARY_PATH that begins here": lambda host: ({"LD_LIBRARY_PATH": f":{host}"}, [], host),
    "as the image starts it": lambda host: (
        {
            "PYTHONHOME": str(host),
            "PYTHONPATH": str(host),
            "LD_LIBRARY_PATH": f"{host}:/.singularity.d/libs",
        },
        ["-I", "-B", "-u"],
        host,
    ),
}


def surrounded(kind, host, *arguments):
    """The command itself, as a host starts it."""
    environment, flags, folder = SURROUNDINGS[kind](host)
    return subprocess.run(
        [sys.executable, *flags, str(ROOT / "entrypoint.py"), *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("kind", SURROUNDINGS)
def test_the_command_has_its_own_packages_whatever_the_host_has(tmp_path, host, kind):
    """Weights that are missing are met after every import of the command and of its worker."""
    source = scans(tmp_path / "in", "a.nii")
    words = ["--input", source, "--output", tmp_path / "out", "--weights", tmp_path]
    process = surrounded(kind, host, *words)
    assert process.returncode == 2, process.stderr
    assert "manifest.json" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("variable", ["PYTHONPATH", "PYTHONHOME"])
def test_so_has_a_worker_that_a_library_starts(tmp_path, host, variable, monkeypatch):
    monkeypatch.setenv(variable, str(host))
    monkeypatch.chdir(host)
    source, output = scans(tmp_path / "in", "a.nii"), tmp_path / "out"
    setup = WorkerSetup(tmp_path, CaseOptions(output))
    worker = Worker(setup, module="tests.helpers.fake_worker")
    try:
        worker.start()
        (case,) = find_cases(source, output, "verse")
        assert worker.attempt(case).status == "succeeded"
    finally:
        worker.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PYTHONPATH", "as the image starts it"])
def test_the_networks_answer_the_same(tmp_path, host, kind):
    write_sample(tmp_path / "in")
    words = ["--input", tmp_path / "in", "--no-preview", "--output"]
    plain = [*ENTRYPOINT, *map(str, words), str(tmp_path / "plain")]
    assert with_closed((1, 2), plain) == 0
    process = surrounded(kind, host, *words, tmp_path / "out")
    assert process.returncode == 0, process.stderr
    assert digests(tmp_path / "out") == digests(tmp_path / "plain")
    assert len(digests(tmp_path / "out")) >= 2
