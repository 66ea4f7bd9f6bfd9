"""A worker without networks; a scan's largest value says what goes wrong: `MISHAPS`.

In the environment, SLOW_S: seconds per case. LOADING_S: seconds until it is ready. DIARY: a file to which every case adds the worker's process id and the
largest value of its scan, by which it can be told.
"""

import ctypes
import os
import signal
import time

import numpy as np

from tests.helpers.batches import FakePipeline
from verse_infer.batch import worker
from verse_infer.batch.worker import Ready


def crash():
    ctypes.string_at(0)


def eat_memory():
    eaten = []
    while True:
        eaten.append(np.ones(2**24))  # 128 MiB
        time.sleep(0.05)


MISHAPS = {
    501: crash,
    502: lambda: os.kill(os.getpid(), signal.SIGKILL),
    503: lambda: os._exit(7),
    504: lambda: time.sleep(3600),
    505: eat_memory,
    506: lambda: os.write(1, b"native code prints\n"),
}


class MishapPipeline(FakePipeline):
    def run(self, ct, centroids=None):
        if "DIARY" in os.environ:
            with open(os.environ["DIARY"], "a") as diary:  # noqa: PTH123
                diary.write(f"{os.getpid()} {ct.hu.max()}\n")
        MISHAPS.get(int(ct.hu.max()), lambda: None)()
        return super().run(ct, centroids)


def load(_):
    time.sleep(float(os.environ.get("LOADING_S", "0")))
    pipeline = MishapPipeline(slow_s=float(os.environ.get("SLOW_S", "0")))
    return pipeline, Ready({"m": "0"}, "/CPU:0", "float32")


if __name__ == "__main__":
    worker.main(load)
