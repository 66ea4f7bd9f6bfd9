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
    """A memory disk of a size; yields a function that changes it. Skips without rights.

    To be changed to: another size, "ro" (also while files in it are open to be written), "rw" again.
    """
    folder.mkdir(exist_ok=True)
    place, mounts = str(folder), 1
    if not _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", place):
        pytest.skip("needs the right to mount")

    def change(options: str) -> None:
        nonlocal mounts
        if options == "ro":
            assert _mount("--bind", place, place)
            mounts += 1
            assert _mount("-o", "remount,bind,ro", place)
        elif options == "rw":
            subprocess.run(["umount", "-l", place], check=True)
            mounts -= 1
        else:
            assert _mount("-o", f"remount,{options}", place)

    try:
        yield change
    finally:
        for _ in range(mounts):
            subprocess.run(["umount", "-l", place], check=True)
