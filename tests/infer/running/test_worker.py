"""The worker's side of the conversation, in this process."""

import io
import threading

import pytest

from tests.infer.running.test_batch import FakePipeline, scans
from verse_infer.running import reading_ahead, worker
from verse_infer.running.case_scan import read_scan
from verse_infer.running.case_work import CaseOptions
from verse_infer.running.cases import find_cases
from verse_infer.running.worker import serve
from verse_infer.running.worker_messages import (
    Order,
    Ready,
    WorkerSetup,
    answer_from,
    report_from,
    to_line,
)


@pytest.mark.parametrize("told", [True, False])
def test_the_scan_named_with_an_order_is_read_while_its_case_is_worked_on(
    tmp_path, monkeypatch, told
):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii"), tmp_path / "out"
    first, second = find_cases(source, output, "verse")
    ahead = threading.Event()

    def read(path, memory_limit):
        if path == second.path:
            ahead.set()
        return read_scan(path, memory_limit)

    class WaitingPipeline(FakePipeline):
        def run(self, ct, centroids=None):
            if not self.runs:
                assert ahead.wait(60 if told else 0) == told
            return super().run(ct, centroids)

    monkeypatch.setattr(worker, "set_up_logging", lambda **_: None)
    monkeypatch.setattr(reading_ahead, "read_scan", read)
    messages = [
        WorkerSetup(tmp_path, CaseOptions(output)),
        Order(first, second if told else None),
        Order(second),
    ]
    answers = io.BytesIO()
    ready = Ready({}, "/GPU:0", "float16")
    serve(
        lambda _: (WaitingPipeline(), ready),
        io.BytesIO(b"".join(map(to_line, messages))),
        answers,
    )
    said, *reports = answers.getvalue().splitlines()
    assert answer_from(said) == ready
    assert [report_from(line).status for line in reports] == ["succeeded", "succeeded"]


@pytest.mark.parametrize(("device", "on_gpu"), [("/GPU:0", True), ("/CPU:0", False)])
def test_a_worker_says_whether_it_works_on_a_graphics_card(device, on_gpu):
    assert answer_from(to_line(Ready({}, device, "float32"))).on_gpu == on_gpu
