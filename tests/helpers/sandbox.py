"""A command as a container runs it: process 1, read-only root and /tmp, no network, any user."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: A user and group that the machine does not know.
STRANGER = 12345
#: $1: the only writable folder; $2: where Python lives; $3: the closed folder above it, or nothing;
#: $4: user, or nothing; the rest: the command.
_SCRIPT = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
if [ -n "$3" ]; then
  kept=$(mktemp -d "$1/XXXXXX")
  mount --bind "$2" "$kept"
  mount -t tmpfs -o mode=755 tmpfs "$3"
  mkdir -p "$2"
  mount --move "$kept" "$2"
  rmdir "$kept"
fi
mount --bind "$1" "$1"
for other in /tmp /var/tmp /dev/shm; do
  case "$1" in "$other"/*) ;; *) mount -t tmpfs -o ro tmpfs "$other" 2>/dev/null || true ;; esac
done
mount -o remount,bind,ro /
if touch /written-to-root 2>/dev/null || touch /tmp/written 2>/dev/null; then exit 99; fi
user=$4
shift 4
[ -z "$user" ] || set -- setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
exec env --unset=HOME "$@"
"""


def sandboxed(command, writable, user=None):
    """The command to run; outside's first child is process 1. Skips without the right to unshare."""
    own = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to unshare")
    if user is not None and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    places = [writable, sys.base_prefix, closed_above(Path(sys.base_prefix)), user or ""]
    return [*own, "sh", "-c", _SCRIPT, "sandbox", *map(str, [*places, *command])]


def in_sandbox(command, writable, user=None, **options):
    """subprocess.run's result."""
    whole = sandboxed(command, writable, user)
    return subprocess.run(whole, capture_output=True, text=True, check=False, **options)


def closed_above(folder):
    """The topmost folder that other users cannot enter; nothing where all are open."""
    above = [*reversed(folder.parents), folder]
    return next((path for path in above if not path.stat().st_mode & 0o001), "")
