"""Disks of a wanted kind, where the tests may mount any."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest


def _mount(*arguments: str) -> bool:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


@contextmanager
def small_disk(folder: Path, size: str):
    """A memory disk of a size; yields a function that gives it another one. Skips without rights."""
    folder.mkdir(exist_ok=True)
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        pytest.skip("needs the right to mount")

    def change(options: str) -> None:
        assert _mount("-o", f"remount,{options}", str(folder))

    try:
        yield change
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
