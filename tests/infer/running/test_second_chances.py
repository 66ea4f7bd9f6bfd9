"""What a worker is asked to read ahead, and who is blamed where it dies of it."""

from contextlib import closing

import pytest

from tests.infer.running.test_isolation import (
    EXIT,
    HANG,
    SLOWER_THAN_READING,
    UNREADABLE,
    scan,
    setup,
)
from verse_infer.running import isolation
from verse_infer.running.cases import find_cases
from verse_infer.running.isolation import Limits, Worker
from verse_infer.running.worker_messages import Order, to_line

HARMLESS = 400


@pytest.fixture
def orders(monkeypatch):
    """All that workers were asked to do: (case, what to read ahead), by the numbers of the cases."""
    sent = []

    def to_line_and_list(message):
        if isinstance(message, Order):
            sent.append((message.case.path.stem, message.ahead and message.ahead.path.stem))
        return to_line(message)

    monkeypatch.setattr(isolation, "to_line", to_line_and_list)
    return sent


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Attempts one scan per mishap, each told what follows; returns what became of them."""

    def attempt_all(device, *mishaps, limits=None):
        monkeypatch.setenv("DEVICE", device)
        for number, mishap in enumerate(mishaps):
            scan(tmp_path / "in", f"{number}.nii", mishap)
        cases = find_cases(tmp_path / "in", tmp_path / "out", "verse")
        module = "tests.infer.fake_worker"
        with closing(Worker(setup(tmp_path, preview=False), limits, module)) as worker:
            worker.start()
            pairs = zip(cases, [*cases[1:], None], strict=True)
            return [worker.attempt(case, following).status for case, following in pairs]

    return attempt_all


def test_the_next_scan_is_read_ahead_on_a_graphics_card(attempt, orders):
    assert attempt("/GPU:0", HARMLESS, HARMLESS, HARMLESS) == ["succeeded"] * 3
    assert orders == [("0", "1"), ("1", "2"), ("2", None)]


def test_on_a_processor_nothing_is_read_ahead_and_a_first_case_has_one_chance(attempt, orders):
    assert attempt("/CPU:0", EXIT, HARMLESS) == ["failed", "succeeded"]
    assert orders == [("0", None), ("1", None)]


def test_a_crash_while_the_next_scan_is_read_is_not_blamed_on_the_present_one(attempt, orders):
    statuses = attempt("/GPU:0", SLOWER_THAN_READING, UNREADABLE, HARMLESS)
    assert statuses == ["succeeded", "failed", "succeeded"]
    assert orders == [("0", "1"), ("0", None), ("1", "2"), ("1", None), ("2", None)]


def test_the_time_limit_is_final(attempt, orders):
    assert attempt("/GPU:0", HANG, HARMLESS, limits=Limits(time_s=1))[0] == "failed"
    assert orders[:2] == [("0", "1"), ("1", None)]


def test_a_case_that_is_refused_unread_is_not_read_ahead(tmp_path, attempt, orders):
    scan(tmp_path / "in", "0.nii.gz")
    assert attempt("/GPU:0", HARMLESS) == ["succeeded", "failed"]
    assert orders == [("0", None), ("0.nii", None)]
