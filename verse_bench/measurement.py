"""One path through one scan, timed in this process from file to file, and the machine it ran on."""

import os
import platform
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from verse_bench.clock import Answer, Clock, bare_seconds, convolution_flops
from verse_bench.paths import GuidedPipeline, ReferencePipeline, nothing, vertebra_sized
from verse_bench.scans import read_truth
from verse_infer.batch.case import CaseOptions, Runner, attempt_case
from verse_infer.batch.discovery import find_cases
from verse_infer.batch.report import CaseReport
from verse_infer.networks import Network, Networks, load_networks
from verse_infer.runtime import (
    BFLOAT16_FLAGS,
    Device,
    Precision,
    processor_flags,
)
from verse_infer.weights import STAGES, Stage

#: Instruction sets that decide how fast a network runs.
_TOLD_FLAGS = ("avx2", "avx512f", *sorted(BFLOAT16_FLAGS), "amx_tile")


@dataclass(frozen=True, slots=True)
class Machine:
    """processor: its name. cores: that this process may use. flags: instruction sets, of those that
    matter. load: of the machine when the run began, over one minute. tensorflow: version.
    """

    processor: str
    cores: int
    flags: tuple[str, ...]
    load: float
    tensorflow: str


def this_machine() -> Machine:
    """The machine this runs on."""
    import tensorflow as tf

    flags = tuple(flag for flag in _TOLD_FLAGS if flag in processor_flags())
    cores = len(os.sched_getaffinity(0))
    return Machine(_processor_name(), cores, flags, os.getloadavg()[0], tf.__version__)


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


PathName = Literal["bundled", "paper", "reference"]
#: The stages' names in reports.
STAGE_NAMES: Mapping[Stage, str] = {stage: stage.replace("_", " ") for stage in STAGES}
#: What networks of random weights are taken to have answered.
_ANSWERS: Mapping[Stage, Answer] = {
    "vertebra_localisation": nothing,
    "vertebra_segmentation": vertebra_sized,
}


@dataclass(frozen=True, slots=True)
class Calls:
    """A stage's network calls in one scan.

    seconds: inside all of them. bare_seconds: what they take when nothing else is done, by the
    median of repeated calls. flops: additions and multiplications of their convolutions.
    """

    count: int
    seconds: float
    bare_seconds: float
    flops: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One path through one scan.

    start: seconds to load and warm up. seconds: read, each stage, write. total: from file to file.
    cpu_seconds: of all cores for the total, which others on the machine disturb less.
    load: processes that wanted a core, over the last minute when the scan was done. scaled: not all tiles and vertebrae were done, and seconds are scaled up from those that were.
    peak_bytes: most memory the process held.
    """

    path: PathName
    scan: str
    voxels: int
    vertebrae: int
    precision: str
    start: float
    seconds: dict[str, float]
    total: float
    cpu_seconds: float
    load: float
    scaled: bool
    calls: dict[str, Calls]
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Setting:
    """How to measure. batch: images at a time; None is the device's own. most: tiles and vertebrae that
    the reference path does at most; None is all. runs: through the scan, of which the one of median time
    counts. repeats: bare calls of each network.
    """

    path: PathName
    weights: Path
    device: Device = "cpu"
    batch: int | None = None
    most: int | None = None
    runs: int = 1
    repeats: int = 5


def measurement_from(content: dict[str, Any]) -> Measurement:
    """What asdict made of one."""
    calls = {stage: Calls(**numbers) for stage, numbers in content["calls"].items()}
    return Measurement(**{**content, "calls": calls})


@dataclass(frozen=True, slots=True)
class _Run:
    report: CaseReport
    cpu_seconds: float
    clock: Clock
    scaled: bool


def measure(scan: Path, setting: Setting, output: Path) -> Measurement:
    """Run the path, its networks warm; outputs go below a folder."""
    started = time.perf_counter()
    precision: Precision = "float32" if setting.path == "reference" else "auto"
    networks = load_networks(setting.weights, setting.device, precision, setting.batch)
    for network in networks.stages.values():
        for shape in input_shapes(network):
            network.run_batch(np.zeros(shape, np.float32))
    start = time.perf_counter() - started
    runs = [_run(scan, networks, setting, output) for _ in range(setting.runs)]
    run = sorted(runs, key=lambda one: one.report.seconds["total"])[len(runs) // 2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = dict(run.report.seconds)
    total = seconds.pop("total")
    whole = sum(seconds.values()) if run.scaled else total
    return Measurement(
        setting.path,
        scan.parent.name,
        _voxels(scan),
        len(run.report.vertebrae),
        networks.runtime.precision,
        start,
        seconds,
        whole,
        run.cpu_seconds * whole / total,
        os.getloadavg()[0],
        run.scaled,
        {STAGE_NAMES[stage]: _calls(run.clock, networks, stage, setting) for stage in STAGES},
        peak,
    )


def _run(scan: Path, networks: Networks, setting: Setting, output: Path) -> _Run:
    """Once from file to file."""
    clock, truth = Clock(), read_truth(scan).centroids
    timed = clock.timed(networks, {} if setting.path == "bundled" else dict(_ANSWERS))
    runner: Runner = GuidedPipeline(timed, truth)
    shares: list[float] = []
    if setting.path == "reference":
        runner = ReferencePipeline(timed, truth, setting.most, setting.most, shares)
    (case,) = find_cases(scan, output, "verse")
    cpu = time.process_time()
    report = attempt_case(case, runner, CaseOptions(output))
    if report.status != "succeeded":
        raise RuntimeError(f"{scan}: expected a result, got: {report.error}")
    return _Run(report, time.process_time() - cpu, clock, min(shares, default=1.0) < 1)


def input_shapes(network: Network[Any]) -> list[tuple[int, int, int, int, int]]:
    """Batch, z, y, x, channels of all kinds of calls."""
    weights = network.weights
    return [(network.batch, z, y, x, weights.channels) for x, y, z in weights.input_sizes]


def _calls(clock: Clock, networks: Networks, stage: Stage, setting: Setting) -> Calls:
    calls, network = clock.of(stage), networks[stage]
    shapes = {call.shape for call in calls}
    bare = {shape: bare_seconds(network, shape, setting.repeats) for shape in shapes}
    flops = {shape: convolution_flops(network, shape) for shape in shapes}
    return Calls(
        len(calls),
        sum(call.seconds for call in calls),
        sum(bare[call.shape] for call in calls),
        sum(flops[call.shape] for call in calls),
    )


def _voxels(scan: Path) -> int:
    import nibabel as nib

    return int(np.prod(nib.Nifti1Image.from_filename(scan).shape))
