"""The process that does the work, apart from the command that watches over it.

Networks are loaded once and serve case after case. Whatever kills this process - memory, a crash in
native code, the time limit - costs one case. What the two say to each other are lines of JSON:

command -> worker   WorkerSetup once, then Case after Case
worker -> command   Ready (or Refusal) once, then CaseReport after CaseReport
"""

import ctypes
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from verse_infer.batch.case import CaseOptions, Runner, attempt_case
from verse_infer.batch.discovery import Case
from verse_infer.batch.report import CaseReport, naming_from
from verse_infer.errors import VerseError
from verse_infer.files.verse import OutputNames
from verse_infer.flags import flag_from
from verse_infer.labelling.rules import RuleName
from verse_infer.logs import set_up_logging
from verse_infer.networks import load_networks
from verse_infer.pipeline import Pipeline, PipelineOptions
from verse_infer.runtime import Device, Precision
from verse_infer.weights import MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """All that a worker needs to know before its first case."""

    weights: Path
    case_options: CaseOptions
    device: Device = "auto"
    precision: Precision = "auto"
    labelling: RuleName | None = None
    end_margin_mm: float | None = None
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The networks are loaded. weights: checksum by folder; device, precision: those in use."""

    weights: Mapping[str, str]
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The networks cannot be loaded; message: of a VerseError."""

    message: str


Load = Callable[[WorkerSetup], tuple[Runner, Ready]]
#: Linux's prctl(2): the signal to receive when the parent dies.
_PR_SET_PDEATHSIG = 1


def serve(load: Load, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer a WorkerSetup, then one Case after the other, until there are no more."""

    def answer(line: bytes) -> None:
        answers.write(line)
        answers.flush()

    first = requests.readline()
    if not first:  # the command was stopped before it could say anything
        return
    setup = setup_from(first)
    set_up_logging(verbose=setup.verbose)
    try:
        pipeline, ready = load(setup)
    except VerseError as error:
        answer(to_line(Refusal(str(error))))
        return
    answer(to_line(ready))
    for line in requests:
        answer(to_line(attempt_case(case_from(line), pipeline, setup.case_options)))


def load_pipeline(setup: WorkerSetup) -> tuple[Runner, Ready]:
    """The networks, checked and loaded; WeightsError, UsageError."""
    networks = load_networks(setup.weights, setup.device, setup.precision)
    checksums = {
        model.folder: model.sha256
        for stage in networks.manifest.stages.present().values()
        for model in stage.models
    }
    manifest = (setup.weights / MANIFEST_NAME).read_bytes()
    checksums[MANIFEST_NAME] = hashlib.sha256(manifest).hexdigest()
    pipeline = Pipeline(networks, PipelineOptions(setup.labelling, setup.end_margin_mm))
    return pipeline, Ready(checksums, networks.runtime.device, networks.runtime.precision)


def main(load: Load = load_pipeline) -> None:
    """Serve the command at the other end of the standard streams; its process id is the argument."""
    _belong_to(int(sys.argv[1]))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    # Libraries print to the standard output, too: what they print goes to the log instead.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(load, sys.stdin.buffer, answers)


def _belong_to(command: int) -> None:
    """Die with the command, and be the one that goes when the kernel is out of memory."""
    with suppress(OSError, AttributeError):  # other systems than Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != command:  # it died while this process was starting
        os._exit(1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def to_line(message: WorkerSetup | Case | Ready | Refusal | CaseReport) -> bytes:
    """One line of ASCII JSON; bytes of file names that are no UTF-8 survive as \\udcXX."""
    return json.dumps(asdict(message), default=str).encode("ascii") + b"\n"


def setup_from(line: bytes) -> WorkerSetup:
    """The first message to a worker."""
    content = json.loads(line)
    content["weights"] = Path(content["weights"])
    options = content["case_options"]
    options["output"] = Path(options["output"])
    options["centroids_from"] = _path_or_none(options["centroids_from"])
    return WorkerSetup(**{**content, "case_options": CaseOptions(**options)})


def case_from(line: bytes) -> Case:
    """Any later message to a worker."""
    content = json.loads(line)
    outputs = {name: Path(path) for name, path in content["outputs"].items()}
    path, relative = Path(content["path"]), Path(content["relative"])
    return Case(path, relative, OutputNames(**outputs), _path_or_none(content["rival"]))


def answer_from(line: bytes) -> Ready | Refusal:
    """The first message of a worker."""
    content = json.loads(line)
    return Refusal(**content) if "message" in content else Ready(**content)


def report_from(line: bytes) -> CaseReport:
    """Any later message of a worker."""
    content: dict[str, Any] = json.loads(line)
    lists = {name: tuple(content[name]) for name in ("stamp", "outputs", "vertebrae", "incomplete")}
    flags = tuple(map(flag_from, content["flags"]))
    naming = naming_from(content["naming"])
    return CaseReport(**{**content, **lists, "flags": flags, "naming": naming})


def _path_or_none(text: str | None) -> Path | None:
    return None if text is None else Path(text)


if __name__ == "__main__":
    main()
