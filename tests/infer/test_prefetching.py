import threading

import pytest

from verse_infer.prefetching import one_ahead


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
