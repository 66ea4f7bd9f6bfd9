"""A command as a container runs it: root and /tmp read-only, no network, one folder to write to."""

import shutil
import subprocess

import pytest

#: $1: the only writable folder; the rest: the command.
_SCRIPT = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
for other in /tmp /var/tmp /dev/shm; do
  case "$1" in "$other"/*) ;; *) mount -t tmpfs -o ro tmpfs "$other" 2>/dev/null || true ;; esac
done
mount -o remount,bind,ro /
if touch /written-to-root 2>/dev/null || touch /tmp/written 2>/dev/null; then exit 99; fi
shift
exec "$@"
"""


def in_sandbox(command, writable, **options):
    """subprocess.run's result. Skips where there is no right to unshare and mount."""
    own = ["unshare", "--mount", "--net"]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to unshare")
    whole = [*own, "sh", "-c", _SCRIPT, "sandbox", str(writable), *map(str, command)]
    return subprocess.run(whole, capture_output=True, text=True, check=False, **options)
