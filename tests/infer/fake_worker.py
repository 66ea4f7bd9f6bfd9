"""A worker without networks; a scan's largest value says what goes wrong: `MISHAPS`, `UNREADABLE`.

In the environment, SLOW_S: seconds per case. LOADING_S: seconds until it is ready. DEVICE: where it
says that its networks run. DIARY: a file to which every case adds the worker's process id and the
largest value of its scan, by which it can be told.
"""

import ctypes
import os
import signal
import threading
import time

import numpy as np

from tests.infer.running.test_batch import FakePipeline
from verse_infer.running import reading_ahead, worker
from verse_infer.running.case_scan import read_scan
from verse_infer.running.worker_messages import Ready


def crash():
    ctypes.string_at(0)


def eat_memory():
    eaten = []
    while True:
        eaten.append(np.ones(2**24))  # 128 MiB
        time.sleep(0.05)


def wait_for_what_is_read_ahead():
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()


MISHAPS = {
    501: crash,
    502: lambda: os.kill(os.getpid(), signal.SIGKILL),
    503: lambda: os._exit(7),
    504: lambda: time.sleep(3600),
    505: eat_memory,
    506: lambda: os.write(1, b"native code prints\n"),
    508: wait_for_what_is_read_ahead,
}
#: A scan that ends the process as soon as it is read.
UNREADABLE = 507


def read_or_crash(path, memory_limit):
    scan = read_scan(path, memory_limit)
    if scan.ct.hu.max() == UNREADABLE:
        crash()
    return scan


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
    return pipeline, Ready({"m": "0"}, os.environ.get("DEVICE", "/CPU:0"), "float32")


if __name__ == "__main__":
    reading_ahead.read_scan = read_or_crash
    worker.main(load)
