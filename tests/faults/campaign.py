"""Kill the command at random moments, start it again, and look: `make campaign KILLS=100`.

Each batch runs in a folder of its own and is disturbed again and again until it comes to its end;
then it has to hold, byte for byte, what an undisturbed run gives. With `--real`, the networks work
on three parts of the sample scan; otherwise a stand-in finds one vertebra per scan, in a command that
is the real one in everything else.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.helpers.fake_command import ROOT, fake_command
from tests.helpers.outputs import digests, faults_of, partial_files, recorded_outputs
from verse_train.synthetic.sample import write_sample

SCANS = 16
#: Slices of the sample, 1.5 mm each, with --real.
PARTS = (slice(0, 90), slice(55, 145), slice(110, 200))
KILL_COMMAND, KILL_WORKER, TERMINATE = "kill -9 of the command", "kill -9 of the worker", "SIGTERM"
KINDS = (KILL_COMMAND, KILL_COMMAND, KILL_WORKER, TERMINATE)


@dataclass
class Tally:
    """What happened. faults: everything that was not as it has to be."""

    disturbed: Counter = field(default_factory=Counter)
    met: Counter = field(default_factory=Counter)
    batches: int = 0
    runs: int = 0
    redone: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    """One kind of command over one input. duration_s: of an undisturbed run."""

    command: list[str]
    environment: dict[str, str]
    output: Path
    diary: Path
    expected: dict[str, str]
    duration_s: float


def write_scans(folder: Path) -> None:
    """Scans large enough to be met while they are written; told apart by their largest value."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(SCANS):
        values = rng.integers(-1000, 400, (160, 160, 60)).astype(np.int16)
        values[0, 0, 0] = 1000 + number
        nib.Nifti1Image(values, np.diag([1, 1, 2, 1])).to_filename(folder / f"{number}.nii")


def write_parts(folder: Path) -> None:
    """Three overlapping parts of the sample scan, with four or five vertebrae each."""
    folder.mkdir()
    sample = nib.load(write_sample(folder.parent / "sample"))
    for number, part in enumerate(PARTS):
        sample.slicer[:, part].to_filename(folder / f"{number}.nii")


def prepare(room: Path, real: bool, weights: Path | None) -> Stage:
    """Write the input, run once undisturbed."""
    source, output, diary = room / "in", room / "out", room / "diary"
    environment = {**os.environ, "DIARY": str(diary), "SLOW_S": "0.05"}
    if real:
        write_parts(source)
        command = [sys.executable, "entrypoint.py", "--input", str(source), "--output", str(output)]
        command += ["--weights", str(weights)] if weights else []
    else:
        write_scans(source)
        command = fake_command(source, output)
    diary.touch()
    started = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return Stage(command, environment, output, diary, digests(output), time.monotonic() - started)


def worker_of(command: int) -> int | None:
    """Process id of the command's only child."""
    try:
        children = Path(f"/proc/{command}/task/{command}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def disturb(process: subprocess.Popen, kind: str) -> bool:
    """Was there something to disturb?"""
    victim = worker_of(process.pid) if kind == KILL_WORKER else process.pid
    if victim is None or process.poll() is not None:
        return False
    try:
        os.kill(victim, signal.SIGTERM if kind == TERMINATE else signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def moment(stage: Stage, before: dict[str, int]) -> str:
    """What the run is doing, as far as can be told from outside."""
    if recorded_outputs(stage.output).keys() - before.keys():
        return "after the first of its cases"
    return "while starting, or in the first of its cases"


def run_once(stage: Stage, kind: str | None, delay_s: float, tally: Tally) -> bool:
    """One start, disturbed after a delay; True where the run came to a good end."""
    before = recorded_outputs(stage.output)
    old_partials = set(partial_files(stage.output))
    process = subprocess.Popen(
        stage.command, cwd=ROOT, env=stage.environment, stderr=subprocess.PIPE, text=True
    )
    tally.runs += 1
    hit = False
    if kind is not None:
        try:
            process.wait(delay_s)
        except subprocess.TimeoutExpired:
            hit = disturb(process, kind)
            tally.disturbed[kind] += hit
            tally.met[moment(stage, before)] += hit
    _, log = process.communicate(timeout=600)
    after = recorded_outputs(stage.output)
    tally.faults += [f"{name}: done twice" for name in before if after.get(name) != before[name]]
    tally.faults += faults_of(stage.output)
    if "Traceback" in log:
        tally.faults.append(f"traceback after {kind}: {log[-2000:]}")
    expected = {KILL_COMMAND: (-9,), TERMINATE: (143, -15), KILL_WORKER: (0, 2, 3, 4)}
    if hit and process.returncode not in (*expected[kind], 0):
        tally.faults.append(f"exit code {process.returncode} after {kind}: {log[-500:]}")
    new_partials = set(partial_files(stage.output)) - old_partials
    if hit and kind == TERMINATE and new_partials:
        tally.faults.append(f"temporary files after {kind}: {new_partials}")
    return process.returncode == 0


def check_end(stage: Stage, tally: Tally) -> None:
    """After a good end: all there, the same bytes, no temporary files, the report right."""
    if digests(stage.output) != stage.expected:
        tally.faults.append("outputs differ from those of an undisturbed run")
    if partial_files(stage.output):
        tally.faults.append(f"temporary files at the end: {partial_files(stage.output)}")
    report = json.loads((stage.output / "run.json").read_text())
    summary = report["summary"]
    if not report["complete"] or report["interrupted"] or summary["failed"]:
        tally.faults.append(f"run.json at the end: {summary}")
    if not summary["cases"] == summary["succeeded"] == len(report["cases"]):
        tally.faults.append(f"run.json at the end: {summary}")


def campaign(stage: Stage, kills: int, rng: random.Random) -> Tally:
    """Disturb until the number of kills is reached; every batch is brought to its end."""
    tally = Tally()
    while tally.disturbed.total() < kills:
        for path in sorted(stage.output.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        stage.diary.write_text("")
        tally.batches += 1
        ended = False
        while not ended:
            left = kills - tally.disturbed.total()
            kind = rng.choice(KINDS) if left > 0 else None
            ended = run_once(stage, kind, rng.uniform(0, stage.duration_s), tally)
        check_end(stage, tally)
        begun = len(stage.diary.read_text().splitlines())
        tally.redone += max(0, begun - SCANS)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true", help="with the networks, on the sample")
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="verse-campaign-") as room:
        stage = prepare(Path(room), arguments.real, arguments.weights)
        print(f"undisturbed run: {stage.duration_s:.1f} s", flush=True)
        tally = campaign(stage, arguments.kills, random.Random(arguments.seed))
    for kind, number in sorted(tally.disturbed.items()):
        print(f"{number:5d}  {kind}")
    for when, number in sorted(tally.met.items()):
        print(f"{number:5d}  met the run {when}")
    print(f"{tally.runs:5d}  starts, {tally.batches} batches brought to their end")
    if not arguments.real:  # the networks keep no diary
        print(f"{tally.redone:5d}  cases begun again because a kill met them unfinished")
    print(f"{len(tally.faults):5d}  faults, in {time.monotonic() - started:.0f} s")
    for fault in tally.faults[:20]:
        print("       ", fault)
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
