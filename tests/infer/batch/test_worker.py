"""The worker's side of the conversation, in this process."""

import io

from tests.helpers.batches import FakePipeline, scans
from verse_infer.batch import worker
from verse_infer.batch.case import CaseOptions
from verse_infer.batch.discovery import find_cases
from verse_infer.batch.worker import Ready, WorkerSetup, answer_from, report_from, serve, to_line


def test_a_worker_loads_once_and_does_case_after_case(tmp_path, monkeypatch):
    source, output = scans(tmp_path / "in", "a.nii", "b.nii"), tmp_path / "out"
    monkeypatch.setattr(worker, "set_up_logging", lambda **_: None)
    cases = find_cases(source, output, "verse")
    messages = [WorkerSetup(tmp_path, CaseOptions(output)), *cases]
    answers, pipeline = io.BytesIO(), FakePipeline()
    ready = Ready({}, "/CPU:0", "float32")
    requests = io.BytesIO(b"".join(map(to_line, messages)))
    serve(lambda _: (pipeline, ready), requests, answers)
    said, *reports = answers.getvalue().splitlines()
    assert answer_from(said) == ready
    assert [report_from(line).status for line in reports] == ["succeeded", "succeeded"]
    assert pipeline.runs == 2
