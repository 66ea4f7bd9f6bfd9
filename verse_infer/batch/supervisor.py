"""The command's side of a worker: start it, watch time and memory, replace it when it dies."""

import logging
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from verse_infer.batch.case import failure, stamp_of
from verse_infer.batch.discovery import Case
from verse_infer.batch.report import CaseReport
from verse_infer.batch.run import Stop
from verse_infer.batch.worker import (
    Ready,
    Refusal,
    WorkerSetup,
    answer_from,
    report_from,
    to_line,
)
from verse_infer.errors import UsageError
from verse_infer.files.atomic import TEMPORARY, remove_partials_of
from verse_infer.files.ct_reading import GIB
from verse_infer.surroundings import isolated_command

logger = logging.getLogger(__name__)
WORKER_MODULE = "verse_infer.batch.worker"
#: How often time and memory are looked at, seconds.
_LOOK_S = 0.25
#: Longer than networks take to load from the slowest disk, seconds.
LOADING_S = 900.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LIMIT_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """time_s: of one case; 0 is no limit. memory: bytes the worker may hold in all, or None."""

    time_s: float = 0.0
    memory: int | None = None


class LostWorkerError(Exception):
    """The worker is gone or was stopped. again: another worker may have more luck with the case."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class Worker:
    """A child process with loaded networks; to be closed at the end (contextlib.closing).

    stop: looked at while waiting for an answer. module: what to run; tests have their own. Not thread-safe.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        limits: Limits | None = None,
        stop: Stop | None = None,
        module: str | None = None,
    ) -> None:
        self._setup, self._limits, self._stop = setup, limits or Limits(), stop or Stop()
        self._module = module or WORKER_MODULE
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._served = 0

    def start(self) -> Ready:
        """Start the process and load its networks; UsageError with its reason where it cannot."""
        self._unread, self._served = b"", 0
        # A session of its own: Ctrl-C at a terminal reaches the command only, which ends this.
        self._process = subprocess.Popen(
            isolated_command(self._module, str(os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=_environment(self._setup.case_options.output),
        )
        try:
            answer = answer_from(self._ask(to_line(self._setup), LOADING_S))
        except LostWorkerError as lost:
            self.close()
            raise UsageError(f"loading the networks: expected them ready, got: {lost}") from lost
        if isinstance(answer, Refusal):
            self.close()
            raise UsageError(answer.message)
        return answer

    def close(self) -> None:
        """End the process at once, if there is one; nothing half written is left of it."""
        output = self._setup.case_options.output
        remove_temporary_folder(output)
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # bytes that could not be flushed to a dead process
                    continue
        process.wait()
        remove_partials_of(process.pid, output)

    def attempt(self, case: Case) -> CaseReport:
        """One case, whatever happens to the process that works on it; Interrupted.

        A worker that dies on a case after others is replaced and gets one more chance: it may have been
        short of memory from before. The time limit is final: a second try would take as long again.
        """
        stamp = stamp_of(case.path)
        try:
            return self._attempt(case)
        except LostWorkerError as lost:
            return failure(case, stamp, f"{case.path}: expected a result, got: {lost}")
        except UsageError as error:
            return failure(case, stamp, f"{case.path}: {error}")

    def _attempt(self, case: Case) -> CaseReport:
        if self._process is None:
            self.start()
        first = self._served == 0
        try:
            line = self._ask(to_line(case), self._limits.time_s)
        except LostWorkerError as lost:
            self.close()
            if first or not lost.again:
                raise
            logger.warning("%s: %s; trying once more", case.relative.as_posix(), lost)
            return self._attempt(case)
        except BaseException:
            self.close()
            raise
        self._served += 1
        return report_from(line)

    def _ask(self, line: bytes, time_s: float) -> bytes:
        """Send one line, wait for one; LostWorkerError, Interrupted."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + time_s if time_s else None
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            raise _how_it_ended(process) from None
        while b"\n" not in self._unread:
            self._stop.check()
            if select.select([process.stdout], [], [], _LOOK_S)[0]:
                chunk = os.read(process.stdout.fileno(), 2**16)
                if not chunk:
                    raise _how_it_ended(process)
                self._unread += chunk
            else:
                self._check_limits(process, deadline, time_s)
        answer, self._unread = self._unread.split(b"\n", 1)
        return answer

    def _check_limits(
        self, process: subprocess.Popen[bytes], deadline: float | None, time_s: float
    ) -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise LostWorkerError(f"no result within the time limit of {time_s:g} s", again=False)
        held, limit = resident_memory(process.pid), self._limits.memory
        if limit is not None and held > limit:
            reason = f"out of memory: {held / GIB:.1f} GiB of at most {limit / GIB:.1f} GiB"
            raise LostWorkerError(reason, again=True)


def _environment(output: Path) -> dict[str, str]:
    """The command's own, with a place for temporary files."""
    temporary = temporary_folder(output)
    places = {} if temporary is None else {"TMPDIR": str(temporary)}
    return {**os.environ, **places}


def available_memory(limit_files: tuple[Path, ...] = _LIMIT_FILES) -> int:
    """Bytes that the container, or else the machine, has in all."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in limit_files:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            limits.append(int(text))
    return min(limits)


def resident_memory(pid: int) -> int:
    """Bytes a process holds in memory; 0 where it or /proc is not there."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _how_it_ended(process: subprocess.Popen[bytes]) -> LostWorkerError:
    code = process.wait()
    if code >= 0:
        return LostWorkerError(f"the worker process ended with code {code}", again=True)
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
    return LostWorkerError(f"the worker process was ended by {name}{hint}", again=True)


def temporary_folder(output: Path) -> Path | None:
    """A new, empty folder inside the output folder; None where the system has one of its own."""
    remove_temporary_folder(output)
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        folder = output.absolute() / _temporary_name()
        folder.mkdir(parents=True)
        return folder
    return None


def remove_temporary_folder(output: Path) -> None:
    """Remove the folder that `temporary_folder` made, if it did."""
    shutil.rmtree(output / _temporary_name(), ignore_errors=True)


def _temporary_name() -> str:
    """Hidden, so that it is never taken for a scan's folder; that of this process alone."""
    return f"{TEMPORARY}-{os.getpid()}"
