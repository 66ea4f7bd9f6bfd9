"""Is what lies in an output folder whole, and is run.json right about it?"""

import gzip
import hashlib
import json
from pathlib import Path

from PIL import Image

from verse_infer.files.atomic import MARK


def partial_files(output: Path) -> list[str]:
    return sorted(path.name for path in output.rglob(f"{MARK}*"))


def recorded_outputs(output: Path) -> dict[str, int]:
    """Files of the cases that run.json says are done, with their time of change; ns."""
    try:
        cases = json.loads((output / "run.json").read_text())["cases"]
    except FileNotFoundError:
        return {}
    names = [name for case in cases if case["status"] == "succeeded" for name in case["outputs"]]
    return {name: (output / name).stat().st_mtime_ns for name in names if (output / name).is_file()}


def faults_of(output: Path) -> list[str]:
    """Everything that is not as it has to be at any moment, also just after a kill."""
    if not output.is_dir():
        return []
    faults = [f"{path.name}: not whole" for path in _finished(output) if not is_whole(path)]
    report = output / "run.json"
    if report.is_file() and is_whole(report):
        for case in json.loads(report.read_text())["cases"]:
            missing = [name for name in case["outputs"] if not (output / name).is_file()]
            faults += [f"{case['input']}: recorded, but no {name}" for name in missing]
    return faults


def is_whole(path: Path) -> bool:
    """Can it be read to its end? Checksums of gzip and PNG included."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        else:
            gzip.decompress(path.read_bytes())
    except (OSError, ValueError, EOFError, SyntaxError):
        return False
    return True


def digests(output: Path) -> dict[str, str]:
    """SHA-256 of every finished file but the report, which holds times."""
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _finished(output)
        if path.name != "run.json"
    }


def _finished(output: Path) -> list[Path]:
    return sorted(
        path for path in output.rglob("*") if path.is_file() and not path.name.startswith(".verse")
    )
