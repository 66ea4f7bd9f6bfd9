"""What the command and its worker say to each other: lines of JSON, never pickles.

command -> worker   WorkerSetup once, then Case after Case
worker -> command   Ready (or Refusal) once, then CaseReport after CaseReport
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verse_infer.batch.case import CaseOptions
from verse_infer.batch.discovery import Case
from verse_infer.batch.report import CaseReport, naming_from
from verse_infer.files.verse import OutputNames
from verse_infer.flags import flag_from
from verse_infer.labelling.rules import RuleName
from verse_infer.networks import Device, Precision


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
