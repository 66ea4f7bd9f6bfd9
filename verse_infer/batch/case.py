"""The work on one case, from its file to its outputs, and what is said of it whatever happens."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from verse_infer.anatomy import name_of
from verse_infer.batch.discovery import Case
from verse_infer.batch.report import CaseReport, naming_report, write_sidecar
from verse_infer.ct import Centroid, Ct, SourceCt, SourceGeometry
from verse_infer.errors import InputError, VerseError
from verse_infer.files.atomic import atomic_write
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.preview import render_preview
from verse_infer.files.verse import (
    Convention,
    packed_mask,
    read_centroid_file,
    write_centroids,
    write_packed,
)
from verse_infer.flags import Flag, FlagCode
from verse_infer.pipeline import CaseResult

logger = logging.getLogger(__name__)
#: Longest message of a foreign library that is passed on; TensorFlow's may hold whole graphs.
_LONGEST_MESSAGE = 300
#: Pictures a sixth to a quarter larger than at zlib's usual 6, in two fifths of the time.
_PNG_LEVEL = 1


class Runner(Protocol):
    """What a case needs of a pipeline."""

    def run(self, ct: Ct, centroids: Sequence[Centroid] | None = None) -> CaseResult:
        """One CT in, one result out."""


@dataclass(frozen=True, slots=True)
class CaseOptions:
    """How a case is read and written.

    centroids_from: folder of (edited) centroid files with the names of outputs, or None.
    memory_limit: bytes that a scan may take by its header's claims, or None.
    """

    output: Path
    convention: Convention = "verse"
    preview: bool = True
    centroids_from: Path | None = None
    memory_limit: int | None = None


def attempt_case(case: Case, pipeline: Runner, options: CaseOptions) -> CaseReport:
    """One case, whatever happens to it. A case that fails leaves no output."""
    started = time.perf_counter()
    name, stamp = case.relative.as_posix(), (0, 0)
    logger.info("%s", name)
    try:
        stamp = stamp_of(case.path)
        report = _process(case, stamp, pipeline, options)
    except Exception as error:  # one case's bug must not cost the other 199
        logger.debug("%s", name, exc_info=True)
        return failure(case, stamp, _message(case, error))
    seconds = {**report.seconds, "total": time.perf_counter() - started}
    logger.info("%s: %d vertebrae in %.1f s", name, len(report.vertebrae), seconds["total"])
    for flag in report.flags:
        logger.warning("%s: %s", name, flag.message)
    rounded = {stage: round(value, 3) for stage, value in seconds.items()}
    return replace(report, seconds=rounded)


def failure(case: Case, stamp: tuple[int, int], message: str) -> CaseReport:
    """The report of a failed case, logged; outputs of it, also of an earlier run, are removed."""
    logger.error("%s: failed: %s", case.relative.as_posix(), message)
    for path in case.outputs.all() if case.rival is None else ():
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s: cannot be removed: %s", path, error.strerror)
    return CaseReport(case.relative.as_posix(), "failed", stamp, error=message)


def _message(case: Case, error: Exception) -> str:
    """What the user is told: the file, what was expected and what came."""
    if isinstance(error, VerseError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{case.path}: expected enough memory for this scan, got: out of memory"
    if isinstance(error, OSError):
        place = f" {error.filename}" if error.filename else ""
        return f"{case.path}: expected to read and write files, got: {error.strerror}{place}"
    first = next(iter(str(error).splitlines()), "")[:_LONGEST_MESSAGE]
    return f"{case.path}: expected a result, got {type(error).__name__}: {first}"


def _link_flags(case: Case) -> tuple[Flag, ...]:
    if not case.path.is_symlink():
        return ()
    return (Flag(FlagCode.SYMBOLIC_LINK, "symbolic link: its target was read"),)


def _process(
    case: Case, stamp: tuple[int, int], pipeline: Runner, options: CaseOptions
) -> CaseReport:
    if case.rival is not None:
        raise InputError(
            f"{case.path}: its outputs would overwrite those of {case.rival}; rename one of them"
        )
    clock = time.perf_counter()
    ct = read_scan(case.path, options.memory_limit)
    reading = time.perf_counter() - clock
    logger.info("read: %.1f s, %s voxels", reading, "×".join(map(str, ct.source.shape)))
    given, flags = _given_centroids(case, ct.source, options)
    result = pipeline.run(replace(ct, flags=(*ct.flags, *flags)), given)
    report = _report(case, stamp, result)
    clock = time.perf_counter()
    written = _write(case, ct, result, report, options)
    seconds = {"read": reading, **result.seconds, "write": time.perf_counter() - clock}
    outputs = tuple(path.relative_to(options.output).as_posix() for path in written)
    return replace(report, outputs=outputs, seconds=seconds)


def _report(case: Case, stamp: tuple[int, int], result: CaseResult) -> CaseReport:
    """What is known before anything is written."""
    return CaseReport(
        case.relative.as_posix(),
        "succeeded",
        stamp,
        vertebrae=tuple(name_of(c.label) for c in result.centroids),
        incomplete=tuple(name_of(c.label) for c in result.incomplete),
        naming=naming_report(result.naming, result.centroids) if result.naming else None,
        flags=(*_link_flags(case), *result.flags),
    )


def _given_centroids(
    case: Case, source: SourceGeometry, options: CaseOptions
) -> tuple[tuple[Centroid, ...] | None, tuple[Flag, ...]]:
    """Those of a person's file, and a flag where not all of it is vertebrae."""
    if options.centroids_from is None:
        return None, ()
    path = options.centroids_from / case.outputs.centroids.relative_to(options.output)
    centroids, passed_over = read_centroid_file(path, source, options.convention)
    if not passed_over:
        return centroids, ()
    message = f"{path}: labels {list(passed_over)} are no vertebrae: passed over"
    return centroids, (Flag(FlagCode.LABELS_PASSED_OVER, message, len(passed_over)),)


def _write(
    case: Case, ct: SourceCt, result: CaseResult, report: CaseReport, options: CaseOptions
) -> list[Path]:
    """The mask comes last: where it is, the case is whole. It is packed while the preview is drawn."""
    names = case.outputs
    _check_inside(names.mask.parent, options.output)
    with ThreadPoolExecutor(1) as thread:
        packing = thread.submit(packed_mask, result.mask, ct.source)
        write_centroids(names.centroids, result.centroids, ct.source, options.convention)
        write_sidecar(names.report, report)
        written = [names.centroids, names.report]
        if options.preview:
            with atomic_write(names.preview) as partial:
                picture = render_preview(ct, result.mask, result.centroids)
                picture.save(partial, "PNG", compress_level=_PNG_LEVEL)
            written.append(names.preview)
        write_packed(names.mask, packing.result())
    return [*written, names.mask]


def _check_inside(folder: Path, output: Path) -> None:
    """A link in the output folder must not lead out of it."""
    if not folder.resolve().is_relative_to(output.resolve()):
        raise InputError(f"{folder}: expected a folder inside {output}, got {folder.resolve()}")


def read_scan(path: Path, memory_limit: int | None) -> SourceCt:
    """Read a file that stays the same meanwhile; InputError.

    memory_limit: bytes that the scan may take by its header's claims, or None.
    """
    before = stamp_of(path)
    ct = read_ct(path, memory_limit)
    if stamp_of(path) != before:
        raise InputError(f"{path}: expected a finished file, got one that changed while read")
    return ct


def stamp_of(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of change (ns), by which a file is known to be the same; zeros if none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
