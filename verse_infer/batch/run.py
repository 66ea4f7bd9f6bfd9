"""Running all cases of a folder: one case's failure never stops the others."""

import logging
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from tqdm import tqdm

from verse_infer.batch.case import stamp_of
from verse_infer.batch.discovery import Case, PassedOver
from verse_infer.batch.report import (
    CaseReport,
    RunProgress,
    RunSettings,
    earlier_successes,
    now,
    write_report,
)
from verse_infer.errors import UsageError
from verse_infer.files.atomic import remove_stale

logger = logging.getLogger(__name__)
#: Does one case, whatever happens to it, and says what became of it.
Attempt = Callable[[Case], CaseReport]
#: In the output folder while a run is at work there; says whose it is.
LOCK_NAME = ".verse.lock"


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal; passes every `except Exception` on its way out."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Stop:
    """A handler that keeps a signal until the run comes to a place where it may end.

    A handler that raised would do so between any two instructions, in a finaliser or a callback of the
    import system, too, from where its exception is printed and lost.
    """

    def __init__(self) -> None:
        """No signal yet."""
        self._number: int | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Take the signal."""
        self._number = number

    def check(self) -> None:
        """Interrupted where a signal came."""
        if self._number is not None:
            raise Interrupted(self._number)


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """output: folder of all results. resume: take over what an earlier run has finished.

    centroids_from: folder of (edited) centroid files with the names of outputs, or None.
    passed_over: what the input holds besides cases, for the report.
    """

    output: Path
    resume: bool = True
    centroids_from: Path | None = None
    passed_over: tuple[PassedOver, ...] = ()


@contextmanager
def held(output: Path) -> Iterator[None]:
    """The output folder is this run's alone; what killed runs left there is removed.

    UsageError, which says whose it is, where another run is at work. Where the file system knows no locks,
    nobody is refused, and nothing removed: a warning says so.
    """
    path = output / LOCK_NAME
    lock = FileLock(path, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"--output {output}: expected a folder that no other run writes to, got that of "
            f"{_holder(path)}; wait for its end, or take another folder"
        ) from None
    except (OSError, NotImplementedError) as error:
        logger.warning("%s: cannot be locked, let no other run write there: %s", output, error)
        yield
        return
    try:
        with suppress(OSError):  # a full disk
            path.write_text(f"process {os.getpid()} on {platform.node()} since {now()}", "utf-8")
        remove_stale(output)
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # whoever waits for it looks whether it is still there
        lock.release()


def _holder(path: Path) -> str:
    """What stands in a lock's file."""
    try:
        return path.read_text("utf-8") or "an unknown process"
    except (OSError, ValueError):
        return "an unknown process"


def run_batch(
    cases: Sequence[Case], attempt: Attempt, settings: RunSettings, options: BatchOptions
) -> list[CaseReport]:
    """Run all cases, writing run.json after each; the reports come in the order of the cases.

    To be called while the output is `held`.
    Interrupted is raised on after a last report. UsageError where that cannot be written.
    """
    earlier = earlier_successes(options.output, settings) if options.resume else {}
    # What is taken over stands in every report from the first on: a run that is killed and started
    # again, however often, forgets nothing.
    reports = {case: done for case in cases if (done := _still_holds(case, earlier, options))}
    progress = RunProgress(now(), len(cases), options.passed_over)

    def report(progress: RunProgress) -> OSError | None:
        known = [reports[case] for case in cases if case in reports]
        try:
            write_report(options.output, settings, known, progress)
        except OSError as error:  # a full disk may have room again after the next case
            logger.error("%s: run.json cannot be written: %s", options.output, error.strerror)
            return error
        return None

    try:
        report(progress)
        for case in tqdm(cases, unit="scan", disable=None):
            if case not in reports:
                reports[case] = attempt(case)
                report(progress)
    except Interrupted:
        report(replace(progress, interrupted=True))
        raise
    reports = {case: _if_still_there(done, options.output) for case, done in reports.items()}
    if (error := report(replace(progress, complete=True))) is not None:
        raise UsageError(f"--output {options.output}: expected to write run.json, got: {error}")
    return [reports[case] for case in cases]


def _if_still_there(done: CaseReport, output: Path) -> CaseReport:
    """The report, or a failure where somebody took its files away while the others were worked on."""
    lost = [name for name in done.outputs if not (output / name).is_file()]
    if not lost:
        return done
    message = (
        f"{done.input}: expected its outputs to stay in {output}, got none of: {', '.join(lost)}"
    )
    logger.error("%s", message)
    return CaseReport(done.input, "failed", done.stamp, error=message)


def _still_holds(
    case: Case, earlier: dict[str, CaseReport], options: BatchOptions
) -> CaseReport | None:
    """The earlier report, if the input is unchanged and every output still there.

    Not where its centroids were edited after its mask was written.
    """
    done = earlier.get(case.relative.as_posix())
    if done is None or done.stamp != stamp_of(case.path):
        return None
    if not all((options.output / name).is_file() for name in done.outputs):
        return None
    if options.centroids_from is not None:
        edited = options.centroids_from / case.outputs.centroids.relative_to(options.output)
        if stamp_of(edited)[1] > stamp_of(case.outputs.mask)[1]:
            return None
    return done
