"""The command line: checks everything that can be checked first, then runs the batch."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from verse_infer import __version__
from verse_infer.batch import BatchOptions, Interrupted, run_batch
from verse_infer.cases import find_cases
from verse_infer.errors import UsageError, VerseError
from verse_infer.networks import Networks, load_networks
from verse_infer.pipeline import Pipeline, PipelineOptions
from verse_infer.run_report import CaseReport, RunSettings
from verse_infer.verse_files import CONVENTIONS

logger = logging.getLogger(__name__)
OK, USAGE, SOME_FAILED, NONE_SUCCEEDED = 0, 2, 3, 4
SIGNAL_OFFSET = 128
BUNDLED_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = parser().parse_args(argv)
    _set_up_logging(verbose=arguments.verbose)
    try:
        _catch_signals()
        return _run(arguments)
    except VerseError as error:
        logger.error("%s", error)
        return USAGE
    except Interrupted as interruption:
        logger.error("interrupted; run again to continue")
        return SIGNAL_OFFSET + interruption.signal_number


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
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where networks run")
    precisions = ("auto", "float32", "bfloat16", "float16")
    add("--precision", choices=precisions, default="auto", help="of the networks' arithmetic")
    add("--labelling", choices=("chain", "sequence"), help="rule; default: the weights' own")
    ends = "no vertebrae nearer to top or bottom; default: the weights' own, or 10"
    add("--end-margin-mm", type=float, help=ends)
    add("--centroids-from", type=Path, help="folder of edited centroid files; skips localisation")
    add("--resume", action=flag, default=True, help="skip cases an earlier run has finished")
    add("--preview", action=flag, default=True, help="write a picture per case")
    add("--verbose", action="store_true", help="log more, with tracebacks")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return made


def _run(arguments: argparse.Namespace) -> int:
    cases = find_cases(arguments.input, arguments.output, arguments.centroid_format)
    _check_output(arguments.output)
    if arguments.centroids_from is not None and not arguments.centroids_from.is_dir():
        raise UsageError(f"--centroids-from {arguments.centroids_from}: expected a folder")
    if arguments.end_margin_mm is not None and arguments.end_margin_mm < 0:
        raise UsageError(f"--end-margin-mm: expected 0 or more, got {arguments.end_margin_mm}")
    if not cases:
        logger.error("%s: no CT found (.nii, .nii.gz; masks do not count)", arguments.input)
        return NONE_SUCCEEDED
    networks = load_networks(arguments.weights, arguments.device, arguments.precision)
    pipeline = Pipeline(networks, PipelineOptions(arguments.labelling, arguments.end_margin_mm))
    options = BatchOptions(
        arguments.output,
        arguments.centroid_format,
        arguments.preview,
        arguments.resume,
        arguments.centroids_from,
    )
    return exit_code(run_batch(cases, pipeline, _settings(arguments, networks), options))


def exit_code(reports: Sequence[CaseReport]) -> int:
    """0 all succeeded, 3 some failed, 4 none succeeded."""
    failed = sum(report.status == "failed" for report in reports)
    logger.info("%d of %d scans succeeded", len(reports) - failed, len(reports))
    if failed == 0:
        return OK
    return SOME_FAILED if failed < len(reports) else NONE_SUCCEEDED


def _settings(arguments: argparse.Namespace, networks: Networks) -> RunSettings:
    checksums = {
        model.folder: model.sha256
        for stage in networks.manifest.stages.values()
        for model in stage.models
    }
    options = {
        "centroid_format": arguments.centroid_format,
        "labelling": arguments.labelling,
        "end_margin_mm": arguments.end_margin_mm,
        "preview": arguments.preview,
        "centroids_from": None if not arguments.centroids_from else str(arguments.centroids_from),
    }
    return RunSettings(checksums, networks.device, networks.precision, options)


def _check_output(output: Path) -> None:
    """The output folder exists afterwards and can be written to."""
    probe = output / ".verse-write-test"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--output {output}: expected a folder to write to: {error}") from error


def _catch_signals() -> None:
    def interrupt(number: int, _: FrameType | None) -> None:
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def _set_up_logging(*, verbose: bool) -> None:
    # TensorFlow reads these when it is first imported, which happens later.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
        force=True,
    )
    for chatty in ("tensorflow", "absl", "h5py", "nibabel", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
