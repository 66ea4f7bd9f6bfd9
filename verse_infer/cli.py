"""The command line: checks everything that can be checked first, then runs the batch."""

import argparse
import logging
import math
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import get_args

from verse_infer import __version__
from verse_infer.batch.case import CaseOptions
from verse_infer.batch.discovery import discover
from verse_infer.batch.report import CaseReport, RunSettings
from verse_infer.batch.run import BatchOptions, Interrupted, Stop, held, run_batch
from verse_infer.batch.supervisor import Limits, Worker, available_memory
from verse_infer.batch.worker import Ready, WorkerSetup
from verse_infer.errors import UsageError, VerseError
from verse_infer.files.atomic import MARK
from verse_infer.files.ct_reading import GIB
from verse_infer.files.verse import CONVENTIONS
from verse_infer.labelling.rules import RuleName
from verse_infer.logs import set_up_logging
from verse_infer.runtime import Device, Precision
from verse_infer.surroundings import open_standard_streams
from verse_infer.weights import BUNDLED_WEIGHTS

logger = logging.getLogger(__name__)
OK, USAGE, SOME_FAILED, NONE_SUCCEEDED = 0, 2, 3, 4
SIGNAL_OFFSET = 128
INTERRUPTED = "interrupted; run again to continue"
#: Of the memory there is, what the worker may hold, and what one scan may take of it; the rest is
#: left to the system, and to the networks.
WORKER_SHARE, SCAN_SHARE = 0.9, 0.5
#: Longer than any scan takes on two cores; shorter than a batch may hang unseen.
CASE_TIMEOUT_S = 3600.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code.

    Signals that ask it to end do so at once until there is a worker, and then where everything can be
    left whole. After that they change nothing: what is left is to exit with the code.
    """
    open_standard_streams()
    arguments = parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    _on_signals(_end_at_once)
    try:
        return _run(arguments)
    except VerseError as error:
        logger.error("%s", error)
        return USAGE
    except Interrupted as interruption:
        logger.error("%s", INTERRUPTED)
        return SIGNAL_OFFSET + interruption.signal_number
    finally:
        _on_signals(Stop())


def parser() -> argparse.ArgumentParser:
    """All options; the README lists the same."""
    made = argparse.ArgumentParser(
        prog="verse",
        description="Labelled vertebral centroids and vertebra masks from spine CTs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    flag = argparse.BooleanOptionalAction
    add = made.add_argument
    add("--input", type=Path, default=Path("/data"), help="folder of CTs, or one NIfTI file")
    add("--output", type=Path, default=Path("/output"), help="folder for the results")
    add("--weights", type=Path, default=BUNDLED_WEIGHTS, help="folder with manifest.json")
    add("--centroid-format", choices=CONVENTIONS, default="verse", help="centroid convention")
    add("--device", choices=get_args(Device), default="auto", help="where networks run")
    add(
        "--precision",
        choices=get_args(Precision),
        default="auto",
        help="of the networks' arithmetic",
    )
    add("--labelling", choices=get_args(RuleName), help="rule; default: the weights' own")
    ends = "no vertebrae nearer to top or bottom; default: the weights' own, or 10"
    add("--end-margin-mm", type=float, help=ends)
    add("--centroids-from", type=Path, help="folder of edited centroid files; skips localisation")
    add("--resume", action=flag, default=True, help="skip cases an earlier run has finished")
    add("--preview", action=flag, default=True, help="write a picture per case")
    limit = "seconds after which a case counts as failed; 0: no limit"
    add("--case-timeout-s", type=float, default=CASE_TIMEOUT_S, help=limit)
    memory = "memory in GiB for all work on a case; default: nearly all there is"
    add("--memory-gib", type=float, help=memory)
    add("--verbose", action="store_true", help="log more, with tracebacks")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return made


def _run(arguments: argparse.Namespace) -> int:
    found = discover(arguments.input, arguments.output, arguments.centroid_format)
    _check_output(arguments.output)
    _check_values(arguments)
    if not found.cases:
        passed = sum(one.files for one in found.passed_over)
        logger.error(
            "%s: expected CTs in NIfTI (.nii, .nii.gz), got none, and %d files that were passed over",
            *(arguments.input, passed),
        )
        return NONE_SUCCEEDED
    memory = _memory(arguments)
    limits = Limits(arguments.case_timeout_s, int(memory * WORKER_SHARE))
    stop = Stop()
    _on_signals(stop)
    with (
        held(arguments.output),
        closing(Worker(_setup(arguments, int(memory * SCAN_SHARE)), limits, stop)) as worker,
    ):
        settings = _settings(arguments, worker.start())
        options = BatchOptions(
            arguments.output, arguments.resume, arguments.centroids_from, found.passed_over
        )
        return exit_code(run_batch(found.cases, worker.attempt, settings, options))


def _check_values(arguments: argparse.Namespace) -> None:
    if arguments.centroids_from is not None and not arguments.centroids_from.is_dir():
        raise UsageError(f"--centroids-from {arguments.centroids_from}: expected a folder")
    least = {"end_margin_mm": 0.0, "case_timeout_s": 0.0, "memory_gib": 0.1}
    for name, low in least.items():
        value = getattr(arguments, name)
        if value is not None and not (low <= value < math.inf):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option}: expected {low:g} or more, got {value}")


def _memory(arguments: argparse.Namespace) -> int:
    """Bytes for the work on a case: what the user says, at most what there is."""
    available = available_memory()
    if arguments.memory_gib is None:
        return available
    return min(available, int(arguments.memory_gib * GIB))


def _setup(arguments: argparse.Namespace, scan_memory: int) -> WorkerSetup:
    case_options = CaseOptions(
        arguments.output,
        arguments.centroid_format,
        arguments.preview,
        arguments.centroids_from,
        scan_memory,
    )
    return WorkerSetup(
        arguments.weights,
        case_options,
        arguments.device,
        arguments.precision,
        arguments.labelling,
        arguments.end_margin_mm,
        arguments.verbose,
    )


def exit_code(reports: Sequence[CaseReport]) -> int:
    """0 all succeeded, 3 some failed, 4 none succeeded; the last line of the log names the failed."""
    failed = [report.input for report in reports if report.status == "failed"]
    logger.info("%d of %d scans succeeded", len(reports) - len(failed), len(reports))
    if not failed:
        return OK
    logger.error("failed: %s", ", ".join(failed))
    return SOME_FAILED if len(failed) < len(reports) else NONE_SUCCEEDED


def _settings(arguments: argparse.Namespace, ready: Ready) -> RunSettings:
    options = {
        "centroid_format": arguments.centroid_format,
        "labelling": arguments.labelling,
        "end_margin_mm": arguments.end_margin_mm,
        "preview": arguments.preview,
        "centroids_from": None if not arguments.centroids_from else str(arguments.centroids_from),
    }
    return RunSettings(ready.weights, ready.device, ready.precision, options)


def _check_output(output: Path) -> None:
    """The output folder exists afterwards and can be written to."""
    probe = output / f"{MARK}-{os.getpid()}-write-test"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--output {output}: expected a folder to write to: {error}") from error


def _end_at_once(number: int, _: FrameType | None) -> None:
    """While there is nothing yet to be left whole."""
    with suppress(OSError):  # of a log that nobody reads any more
        os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(SIGNAL_OFFSET + number)


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """On Ctrl-C, on SIGTERM and where the terminal is closed, but for what nohup lets be ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
