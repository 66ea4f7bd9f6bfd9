"""What the measurements were made on."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from verse_infer.networks import BFLOAT16_FLAGS, processor_flags

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
