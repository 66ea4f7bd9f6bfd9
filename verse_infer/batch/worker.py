"""The process that does the work, apart from the command that watches over it.

Networks are loaded once and serve case after case. Whatever kills this process - memory, a crash in
native code, the time limit - costs one case.
"""

import ctypes
import hashlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from verse_infer.batch.case import Runner, attempt_case
from verse_infer.batch.messages import (
    Ready,
    Refusal,
    WorkerSetup,
    case_from,
    setup_from,
    to_line,
)
from verse_infer.errors import VerseError
from verse_infer.logs import set_up_logging
from verse_infer.networks import load_networks
from verse_infer.pipeline import Pipeline, PipelineOptions
from verse_infer.weights import MANIFEST_NAME

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
    return pipeline, Ready(checksums, networks.device, networks.precision)


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


if __name__ == "__main__":
    main()
