"""Running all cases of a folder: one case's failure never stops the others."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from verse_infer.anatomy import name_of
from verse_infer.atomic import atomic_write, remove_stale
from verse_infer.cases import Case
from verse_infer.centroids import Centroid
from verse_infer.ct import Ct, SourceGeometry
from verse_infer.ct_reading import read_ct
from verse_infer.errors import InputError, VerseError
from verse_infer.pipeline import CaseResult
from verse_infer.preview import render_preview
from verse_infer.run_report import (
    CaseReport,
    RunSettings,
    earlier_successes,
    now,
    write_report,
)
from verse_infer.verse_files import Convention, read_centroids, write_centroids, write_mask

logger = logging.getLogger(__name__)


class Runner(Protocol):
    """What a batch needs of a pipeline."""

    def run(self, ct: Ct, centroids: Sequence[Centroid] | None = None) -> CaseResult:
        """One CT in, one result out."""


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM; passes every `except Exception` on its way out."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch reads and writes.

    centroids_from: folder of (edited) centroid files with the names of outputs, or None.
    """

    output: Path
    convention: Convention = "verse"
    preview: bool = True
    resume: bool = True
    centroids_from: Path | None = None


def run_batch(
    cases: Sequence[Case], pipeline: Runner, settings: RunSettings, options: BatchOptions
) -> list[CaseReport]:
    """Run all cases, writing run.json after each. Interrupted is raised on after a last report."""
    remove_stale(options.output)
    earlier = earlier_successes(options.output, settings) if options.resume else {}
    reports: list[CaseReport] = []
    started = now()

    def report(*, interrupted: bool = False) -> None:
        write_report(
            options.output,
            settings,
            reports,
            started=started,
            found=len(cases),
            interrupted=interrupted,
        )

    try:
        for case in tqdm(cases, unit="scan", disable=None):
            done = earlier.get(case.relative.as_posix())
            resumed = done is not None and _still_holds(done, case, options.output)
            reports.append(done if done and resumed else _attempt(case, pipeline, options))
            report()
    except Interrupted:
        report(interrupted=True)
        raise
    report()
    return reports


def _still_holds(done: CaseReport, case: Case, output: Path) -> bool:
    """Is the input unchanged, and is every output still there?"""
    return done.stamp == _stamp(case.path) and all(
        (output / name).is_file() for name in done.outputs
    )


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _attempt(case: Case, pipeline: Runner, options: BatchOptions) -> CaseReport:
    """One case, whatever happens to it."""
    started = time.perf_counter()
    name, stamp = case.relative.as_posix(), (0, 0)
    logger.info("%s", name)
    try:
        stamp = _stamp(case.path)
        outputs, result, seconds = _process(case, pipeline, options)
    except VerseError as error:
        message = str(error)
    except MemoryError:
        message = "out of memory"
    except Exception as error:  # one case's bug must not cost the other 199
        message = f"{type(error).__name__}: {error}"
        logger.debug("%s", name, exc_info=True)
    else:
        seconds["total"] = time.perf_counter() - started
        names = tuple(name_of(c.label) for c in result.centroids)
        logger.info("%s: %d vertebrae in %.1f s", name, len(names), seconds["total"])
        for flag in result.flags:
            logger.warning("%s: %s", name, flag)
        rounded = {stage: round(value, 3) for stage, value in seconds.items()}
        return CaseReport(name, "succeeded", stamp, outputs, names, result.flags, seconds=rounded)
    logger.error("%s: failed: %s", name, message)
    return CaseReport(name, "failed", stamp, error=message)


def _process(
    case: Case, pipeline: Runner, options: BatchOptions
) -> tuple[tuple[str, ...], CaseResult, dict[str, float]]:
    if case.rival is not None:
        raise InputError(
            f"{case.path}: its outputs would overwrite those of {case.rival}; rename one of them"
        )
    clock = time.perf_counter()
    ct = read_ct(case.path)
    if ct.source is None:
        raise InputError(f"{case.path}: expected a CT with the geometry of its file")
    reading = time.perf_counter() - clock
    logger.info("read: %.1f s, %s voxels", reading, "×".join(map(str, ct.source.shape)))
    result = pipeline.run(ct, _given_centroids(case, ct.source, options))
    clock = time.perf_counter()
    written = _write(case, ct, ct.source, result, options)
    seconds = {"read": reading, **result.seconds, "write": time.perf_counter() - clock}
    return tuple(p.relative_to(options.output).as_posix() for p in written), result, seconds


def _given_centroids(
    case: Case, source: SourceGeometry, options: BatchOptions
) -> tuple[Centroid, ...] | None:
    if options.centroids_from is None:
        return None
    path = options.centroids_from / case.outputs.centroids.relative_to(options.output)
    return read_centroids(path, source, options.convention)


def _write(
    case: Case, ct: Ct, source: SourceGeometry, result: CaseResult, options: BatchOptions
) -> list[Path]:
    """The mask comes last: where it is, the case is whole."""
    names = case.outputs
    write_centroids(names.centroids, result.centroids, source, options.convention)
    written = [names.centroids]
    if options.preview:
        with atomic_write(names.preview) as partial:
            render_preview(ct, result.mask, result.centroids).save(partial, "PNG")
        written.append(names.preview)
    write_mask(names.mask, result.mask, source)
    return [*written, names.mask]
