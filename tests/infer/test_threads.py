import threading

import pytest

from verse_infer import threads
from verse_infer.threads import in_threads


def test_results_come_in_the_order_of_the_parts():
    assert in_threads(lambda n: n * n, range(20)) == [n * n for n in range(20)]
    assert in_threads(str, []) == []


def test_parts_are_worked_on_at_the_same_time(monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    together = threading.Barrier(2, timeout=20)
    assert sorted(in_threads(lambda _: together.wait(), range(2))) == [0, 1]


@pytest.mark.parametrize("cores", [None, 1])
def test_one_core_or_an_unknown_number_does_it_too(monkeypatch, cores):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: cores)
    assert in_threads(lambda n: n + 1, range(3)) == [1, 2, 3]


def test_an_error_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda n: 1 / n, [1, 0, 2])
