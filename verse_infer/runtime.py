"""Device, precision and threads: one choice for the whole process, made once.

TensorFlow keeps device and precision as settings of the process, which it looks at whenever a network is
called: a second choice would change what networks answer that are loaded already. So there is none; who
wants to compare two precisions starts two processes.
"""

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from threadpoolctl import threadpool_limits

from verse_infer.errors import UsageError

logger = logging.getLogger(__name__)
Device = Literal["auto", "cpu", "gpu"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
#: Processor flags (as Linux names them) of instructions that multiply bfloat16 matrices.
BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
#: Images at a time on a graphics card: 64 filters' crops take about 1 GiB each. A processor is full
#: with one.
BATCH_ON_GPU = 4
#: Of numpy's matrix products. Sampling a CT takes small ones, in threads of its own, beside which networks
#: run: more would spend their time waiting for each other.
PRODUCT_THREADS = 1


@dataclass(frozen=True, slots=True)
class Runtime:
    """What this process computes with; made by `configure` alone.

    device: TensorFlow's name, "/CPU:0" or "/GPU:0". precision: of the networks' arithmetic.
    """

    device: str
    precision: Literal["float32", "bfloat16", "float16"]

    @property
    def on_gpu(self) -> bool:
        """Do the networks run on a graphics card?"""
        return self.device.startswith("/GPU")

    @property
    def batch(self) -> int:
        """As many images at a time fill the device."""
        return BATCH_ON_GPU if self.on_gpu else 1


#: The one of this process, once it is chosen.
_chosen: list[Runtime] = []
_choosing = threading.Lock()


def configure(device: Device = "auto", precision: Precision = "auto") -> Runtime:
    """Choose device and precision for this process, and tell TensorFlow; numpy is told its threads.

    A later call gives the same runtime again where its choice comes to the same; UsageError where it does
    not, and where there is no such device or it has no such precision.
    """
    with _choosing:
        wanted, gpus = _choose(device, precision)
        if not _chosen:
            _tell_tensorflow(wanted, gpus)
            threadpool_limits(PRODUCT_THREADS, "blas")
            _chosen.append(wanted)
        if _chosen[0] != wanted:
            raise UsageError(
                f"this process computes in {_chosen[0].precision} on {_chosen[0].device} already: "
                f"expected the same again, got {wanted.precision} on {wanted.device}; "
                "start another process for it"
            )
        return _chosen[0]


def _choose(device: Device, precision: Precision) -> tuple[Runtime, list[Any]]:
    """The runtime that was asked for, and the graphics cards there are."""
    # Read when TensorFlow is first imported.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UsageError("--device gpu: TensorFlow sees no GPU; use --device auto or cpu")
    on_gpu = bool(gpus) and device != "cpu"
    if not gpus and device == "auto" and not _chosen:
        logger.info("no GPU: networks run on the processor")
    return Runtime("/GPU:0" if on_gpu else "/CPU:0", _precision(precision, on_gpu)), gpus


def _precision(wanted: Precision, on_gpu: bool) -> Literal["float32", "bfloat16", "float16"]:
    if wanted == "float16" and not on_gpu:
        raise UsageError("--precision float16 needs a GPU; use auto, float32 or bfloat16")
    if wanted == "bfloat16" and on_gpu:
        raise UsageError("--precision bfloat16 is for the CPU; use auto, float32 or float16")
    if wanted != "auto":
        return wanted
    if on_gpu:
        return "float16"
    return "bfloat16" if processor_flags() & BFLOAT16_FLAGS else "float32"


def _tell_tensorflow(runtime: Runtime, gpus: list[Any]) -> None:
    import tensorflow as tf

    if not runtime.on_gpu:
        tf.config.set_visible_devices([], "GPU")
    for gpu in gpus if runtime.on_gpu else ():
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.optimizer.set_experimental_options(
        {
            "auto_mixed_precision": runtime.precision == "float16",
            "auto_mixed_precision_onednn_bfloat16": runtime.precision == "bfloat16",
        }
    )
    tf.config.experimental.enable_tensor_float_32_execution(runtime.precision != "float32")


def processor_flags() -> frozenset[str]:
    """Instruction sets the first processor names in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return next(
        (frozenset(line.split()) for line in lines if line.startswith("flags")), frozenset()
    )
