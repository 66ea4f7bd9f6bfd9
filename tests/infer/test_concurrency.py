import threading

import pytest

from verse_infer import concurrency
from verse_infer.concurrency import in_threads, one_ahead


def test_items_come_in_order_and_each_is_made_before_it_is_asked_for():
    made = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield number

    coming = one_ahead(items())
    for number in range(3):
        assert next(coming) == number
        assert made[number + 1].wait(10)
    assert list(coming) == [3]


def test_nothing_comes_of_nothing():
    assert list(one_ahead([])) == []


def test_what_goes_wrong_is_raised_in_its_place():
    def items():
        yield 1
        raise ValueError("no more")

    coming = one_ahead(items())
    assert next(coming) == 1
    with pytest.raises(ValueError, match="no more"):
        next(coming)


def test_results_come_in_the_order_of_the_parts():
    assert in_threads(lambda n: n * n, range(20)) == [n * n for n in range(20)]
    assert in_threads(str, []) == []


def test_parts_are_worked_on_at_the_same_time(monkeypatch):
    monkeypatch.setattr(concurrency.os, "cpu_count", lambda: 2)
    together = threading.Barrier(2, timeout=20)
    assert sorted(in_threads(lambda _: together.wait(), range(2))) == [0, 1]


@pytest.mark.parametrize("cores", [None, 1])
def test_one_core_or_an_unknown_number_does_it_too(monkeypatch, cores):
    monkeypatch.setattr(concurrency.os, "cpu_count", lambda: cores)
    assert in_threads(lambda n: n + 1, range(3)) == [1, 2, 3]


def test_an_error_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda n: 1 / n, [1, 0, 2])
