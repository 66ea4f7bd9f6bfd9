"""`python -m verse_bench`: seconds and memory of the product and of the published method, side by side."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verse_bench.measurement import Measurement, Setting, measure, measurement_from, this_machine
from verse_bench.report import header, table, targets, verdicts
from verse_bench.scans import BY_VERTEBRAE, BY_VOLUME, LUMBAR, SCANS, BenchScan, make_scan
from verse_infer.runtime import Device

ROOT = Path(__file__).resolve().parent.parent
#: Tiles and vertebrae of the reference path that `--quick` does; the rest is scaled up.
QUICK_MOST = 2
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. most: tiles and vertebrae that the reference path does; None is all."""

    scans: Sequence[BenchScan]
    weights: Path
    device: Device
    scratch: Path
    most: int | None
    growth: bool


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all, or with `one` a single path through a single scan, in this process."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "one":
        content = json.loads(arguments.setting)
        setting = Setting(**{**content, "weights": Path(content["weights"])})
        found = measure(arguments.scan, setting, arguments.results)
        arguments.output.write_text(json.dumps(asdict(found)), encoding="utf-8")
        return
    chosen = [scan for scan in SCANS if scan.name in (arguments.scans or ())]
    most = arguments.most or (QUICK_MOST if arguments.quick else None)
    plan = Plan(
        chosen or ([LUMBAR] if arguments.quick else SCANS),
        arguments.weights,
        arguments.device,
        arguments.scratch,
        most,
        not (arguments.quick or arguments.no_growth),
    )
    run(plan, arguments.output, arguments.figure)


def run(plan: Plan, output: Path, figure: Path) -> None:
    """Measure, print, write the JSON and, with growth, the figure."""
    started = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    machine = this_machine()
    paper = _paper_weights(plan.scratch)
    paths = [make_scan(scan, plan.scratch / "scans") for scan in plan.scans]
    commands = [run_command(path, plan) for path in paths]
    found = [one for path in paths for one in compare(path, paper, plan)]
    print(
        header(machine, found), table(found), _command_lines(commands), verdicts(found), sep="\n\n"
    )
    growth = measure_growth(plan) if plan.growth else {}
    for name, measured in growth.items():
        print(f"\n{name}\n{table(measured)}")
    if growth:
        _draw(growth, figure)
    content = {
        "started": started,
        "machine": asdict(machine),
        "measurements": [asdict(one) for one in found],
        "commands": commands,
        "growth": {name: [asdict(one) for one in measured] for name, measured in growth.items()},
        "targets": [{**asdict(t), "reached": t.reached} for t in targets(found)],
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def compare(scan: Path, paper: Path, plan: Plan) -> list[Measurement]:
    """All paths through one scan, one after the other."""
    settings = (
        Setting("bundled", plan.weights, plan.device, runs=5),
        Setting("paper", paper, plan.device),
        Setting("reference", paper, plan.device, most=plan.most, repeats=1),
    )
    return [measure_apart(scan, setting, plan) for setting in settings]


def measure_growth(plan: Plan) -> dict[str, list[Measurement]]:
    """The product with ever more vertebrae, and with ever more voxels around the same ones."""
    setting = Setting("bundled", plan.weights, plan.device, runs=3, repeats=1)
    series = {"by_vertebrae": BY_VERTEBRAE, "by_volume": BY_VOLUME}
    return {
        name: [measure_apart(make_scan(s, plan.scratch / "scans"), setting, plan) for s in scans]
        for name, scans in series.items()
    }


def _draw(growth: dict[str, list[Measurement]], figure: Path) -> None:
    from verse_bench.report import growth_figure, save_figure

    save_figure(growth_figure(growth["by_vertebrae"], growth["by_volume"]), figure)


def measure_apart(scan: Path, setting: Setting, plan: Plan) -> Measurement:
    """Measure in a process of its own, so that its peak memory is its own."""
    with tempfile.TemporaryDirectory(dir=plan.scratch) as folder:
        output = Path(folder) / "measurement.json"
        words = ["one", "--scan", str(scan), "--results", str(Path(folder) / "results")]
        words += ["--setting", json.dumps({**asdict(setting), "weights": str(setting.weights)})]
        _python(["-m", "verse_bench", *words, "--output", str(output)])
        found = measurement_from(json.loads(output.read_text(encoding="utf-8")))
    print(f"{found.scan}, {found.path}: {found.total:.1f} s", file=sys.stderr)
    return found


def run_command(scan: Path, plan: Plan) -> dict[str, Any]:
    """The command as a user starts it, nothing given: seconds in all, and what it found."""
    with tempfile.TemporaryDirectory(dir=plan.scratch) as folder:
        started = time.perf_counter()
        words = [str(ROOT / "entrypoint.py"), "--input", str(scan), "--output", folder]
        _python([*words, "--weights", str(plan.weights), "--device", plan.device])
        seconds = time.perf_counter() - started
        (case,) = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))["cases"]
    print(f"{scan.parent.name}, command: {seconds:.1f} s", file=sys.stderr)
    return {"scan": scan.parent.name, "seconds": seconds, "vertebrae": case["vertebrae"]}


def _command_lines(commands: Sequence[dict[str, Any]]) -> str:
    lines = (
        f"{c['scan']}: {c['seconds']:.1f} s, {len(c['vertebrae'])} vertebrae found"
        for c in commands
    )
    return "\n".join(("the command from its start to its end, networks cold:", *lines))


def _paper_weights(scratch: Path) -> Path:
    """Made in a process of its own: its memory is not to count."""
    folder = scratch / "paper-weights"
    _python(["-m", "verse_bench.paper_weights", str(folder)])
    return folder


def _python(words: Sequence[str]) -> None:
    subprocess.run(
        [sys.executable, *words], check=True, cwd=ROOT, env={**os.environ, **ENVIRONMENT}
    )


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m verse_bench", description=__doc__)
    made.add_argument("--weights", type=Path, default=ROOT / "weights")
    made.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    made.add_argument("--scans", nargs="+", choices=[scan.name for scan in SCANS])
    made.add_argument("--scratch", type=Path, default=ROOT / "build" / "bench")
    made.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    made.add_argument("--figure", type=Path, default=ROOT / "docs" / "growth.png")
    most = "tiles and vertebrae that the reference path does at most; the rest is scaled up"
    made.add_argument("--most", type=int, help=most)
    quick = "the lumbar scan only, and two tiles and vertebrae of the reference"
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--no-growth", action="store_true", help="without time over size")
    made.set_defaults(command="all")
    one = made.add_subparsers(dest="command").add_parser("one", help="a single path and scan")
    one.add_argument("--scan", type=Path, required=True)
    one.add_argument("--setting", required=True, help="JSON")
    one.add_argument("--results", type=Path, required=True)
    one.add_argument("--output", type=Path, required=True)
    return made
