"""A few kills of the campaign; `make campaign` runs all of it."""

import random

import pytest

from tests.faults.campaign import campaign, prepare


@pytest.mark.parametrize(
    ("real", "kills"), [(False, 6), pytest.param(True, 5, marks=pytest.mark.slow)]
)
def test_a_batch_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path, real, kills):
    tally = campaign(prepare(tmp_path, real=real, weights=None), kills, random.Random(1))
    assert tally.faults == []
    assert tally.disturbed.total() >= kills
