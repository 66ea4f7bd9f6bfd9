"""run.json: what was asked for, on what it ran, and what became of every case."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from verse_infer import __version__
from verse_infer.anatomy import name_of
from verse_infer.batch.discovery import PassedOver
from verse_infer.ct import Centroid
from verse_infer.files.atomic import atomic_write
from verse_infer.flags import Flag, flag_from
from verse_infer.labelling.chain import Naming

SCHEMA_VERSION = 2
REPORT_NAME = "run.json"
_PACKAGES = ("tensorflow", "tensorflow-cpu", "SimpleITK", "numpy", "scipy", "nibabel")


@dataclass(frozen=True, slots=True)
class NamingReport:
    """How sure the names of a case are.

    responses, margins: of each vertebra, head to foot: 0 to 1, and how much the sum of the best naming
    that calls its body otherwise falls behind; None where there is no other. margin: the least of them.
    rival: that naming, head to foot.
    """

    responses: tuple[float, ...]
    margins: tuple[float | None, ...]
    margin: float | None
    rival: tuple[str, ...]


def naming_report(naming: Naming, vertebrae: Sequence[Centroid]) -> NamingReport:
    """Of those vertebrae of a naming that the result holds."""
    margins = {c.label: m for c, m in zip(naming.vertebrae, naming.margins, strict=True)}
    return NamingReport(
        tuple(round(c.response, 3) for c in vertebrae),
        tuple(_finite(margins.get(c.label, math.inf)) for c in vertebrae),
        _finite(naming.margin),
        tuple(name_of(c.label) for c in naming.rival),
    )


def _finite(margin: float) -> float | None:
    return round(margin, 3) if math.isfinite(margin) else None


@dataclass(frozen=True, slots=True)
class CaseReport:
    """What became of one case.

    input, outputs: relative to the input and output folders. stamp: size and time of change of the
    input, by which a later run knows that it is the same. vertebrae, incomplete: names, head to foot;
    the latter are cut by the scan and left out. naming: None where names were given, or come from
    heatmaps alone. resumed: taken over from an earlier run.
    """

    input: str
    status: Literal["succeeded", "failed"]
    stamp: tuple[int, int]
    outputs: tuple[str, ...] = ()
    vertebrae: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    error: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    resumed: bool = False
    incomplete: tuple[str, ...] = ()
    naming: NamingReport | None = None


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What a result depends on; a case is resumed only where all of it is the same."""

    weights: Mapping[str, str]
    device: str
    precision: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunProgress:
    """started: UTC. found: cases of the input. complete: the run came to its end.

    passed_over: what looks like a picture in the input and is no case.
    """

    started: str
    found: int
    passed_over: tuple[PassedOver, ...] = ()
    interrupted: bool = False
    complete: bool = False


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_report(
    output: Path, settings: RunSettings, cases: Sequence[CaseReport], progress: RunProgress
) -> None:
    """Write run.json as it stands; called after every case."""
    failed = sum(case.status == "failed" for case in cases)
    content = {
        "schema_version": SCHEMA_VERSION,
        "verse": __version__,
        "versions": _versions(),
        **asdict(settings),
        "started": progress.started,
        "ended": now(),
        "interrupted": progress.interrupted,
        "complete": progress.complete,
        "summary": {
            "cases": progress.found,
            "succeeded": len(cases) - failed,
            "failed": failed,
            "resumed": sum(case.resumed for case in cases),
        },
        "passed_over": [asdict(one) for one in progress.passed_over],
        "cases": [asdict(case) for case in cases],
    }
    with atomic_write(output / REPORT_NAME) as partial:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        # A byte of a file name that is no UTF-8 becomes \udcXX, as JSON itself would escape it.
        partial.write_text(text, "utf-8", errors="backslashreplace")


def earlier_successes(output: Path, settings: RunSettings) -> dict[str, CaseReport]:
    """Cases that an earlier run with the same settings finished; none if its report is unreadable."""
    try:
        content = json.loads((output / REPORT_NAME).read_text(encoding="utf-8"))
        same = all(content[key] == _as_json(value) for key, value in asdict(settings).items())
        if (
            content["schema_version"] != SCHEMA_VERSION
            or content["verse"] != __version__
            or not same
        ):
            return {}
        return {
            case["input"]: _case_from_json(case)
            for case in content["cases"]
            if case["status"] == "succeeded"
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _case_from_json(case: Mapping[str, Any]) -> CaseReport:
    """A succeeded case of an earlier run."""
    return CaseReport(
        input=case["input"],
        status="succeeded",
        stamp=(int(case["stamp"][0]), int(case["stamp"][1])),
        outputs=tuple(case["outputs"]),
        vertebrae=tuple(case["vertebrae"]),
        incomplete=tuple(case["incomplete"]),
        naming=naming_from(case["naming"]),
        flags=tuple(map(flag_from, case["flags"])),
        seconds=dict(case["seconds"]),
        resumed=True,
    )


def naming_from(content: Mapping[str, Any] | None) -> NamingReport | None:
    """What asdict made of a naming."""
    if content is None:
        return None
    lists = {name: tuple(content[name]) for name in ("responses", "margins", "rival")}
    return NamingReport(margin=content["margin"], **lists)


def write_sidecar(path: Path, case: CaseReport) -> None:
    """What run.json will say of a case, beside its outputs; without what only a run needs."""
    content = asdict(case)
    for key in ("stamp", "outputs", "seconds", "resumed", "error", "status"):
        del content[key]
    with atomic_write(path) as partial:
        text = json.dumps(
            {"schema_version": SCHEMA_VERSION, **content}, indent=1, ensure_ascii=False
        )
        partial.write_text(text + "\n", "utf-8", errors="backslashreplace")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
