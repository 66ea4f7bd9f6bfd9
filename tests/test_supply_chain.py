"""What goes into the image is pinned by hash, and listed."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = [ROOT / "requirements.txt", *sorted((ROOT / "requirements").glob("*.txt"))]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_one_version_and_a_hash(lock):
    text = re.sub(r"\s*\\\n\s*", " ", lock.read_text(encoding="utf-8"))
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    for package in packages:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+", package), package[:80]
        assert "--hash=sha256:" in package, package[:80]


def test_the_base_image_is_pinned_by_digest():
    assert re.search(r"^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE) == ["${BASE_IMAGE}"]


def test_nothing_is_installed_into_the_image_without_a_hash():
    assert DOCKERFILE.count("pip install") == DOCKERFILE.count("--require-hashes") == 2
    assert "apt-get" not in DOCKERFILE


def test_the_image_holds_a_list_of_its_packages():
    assert "cyclonedx-py environment" in DOCKERFILE
    assert "-o /opt/verse/sbom.cdx.json /opt/venv/bin/python" in DOCKERFILE


def test_the_image_is_started_isolated_as_its_test_starts_it():
    """From PYTHON… variables that Apptainer hands in; buildah's test repeats the entry point."""
    (line,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    command = json.loads(line)
    assert command[:2] == ["/opt/venv/bin/python", "-I"]
    assert command[-1] == "/opt/verse/entrypoint.py"
    assert " ".join(command) in (ROOT / ".ci" / "image_test.sh").read_text()
