import numpy as np
import pytest
from scipy import stats

from verse_eval.ranking import FEWEST_SCANS, SIGNIFICANCE, p_values


def test_one_sided_p_of_a_team_better_on_all_of_n_scans_is_2_to_the_minus_n():
    """Of the 2^n ways to give signs to n different differences one has them all positive."""
    for n in (3, 5, 12):
        worse = np.zeros(n)
        p = p_values(np.array([np.arange(1.0, n + 1), worse]), "higher")
        assert p[0, 1] == pytest.approx(2.0**-n)
        assert p[1, 0] == 1.0


def test_lower_is_better_turns_the_matrix():
    values = np.random.default_rng(0).random((3, 20))
    np.testing.assert_allclose(p_values(values, "lower"), p_values(values, "higher").T)


def test_p_values_are_scipys():
    values = np.random.default_rng(1).normal([[0.9], [0.8]], 0.2, (2, 40))
    expected = stats.wilcoxon(values[0], values[1], alternative="greater").pvalue
    assert p_values(values, "higher")[0, 1] == pytest.approx(expected)


def test_equal_teams_get_1():
    p = p_values(np.ones((2, 30)), "higher")
    assert p[0, 1] == p[1, 0] == 1.0


def test_no_team_is_compared_with_itself_or_without_values():
    values = np.ones((3, 30))
    values[2] = np.nan
    p = p_values(values, "higher")
    assert np.isnan(np.diag(p)).all()
    assert np.isnan(p[2]).all()
    assert np.isnan(p[:, 2]).all()


def test_scans_without_a_value_are_left_out():
    one, other = np.arange(1.0, 13.0), np.zeros(12)
    one[:2] = np.nan
    assert p_values(np.array([one, other]), "higher")[0, 1] == pytest.approx(2.0**-10)


def test_fewer_scans_cannot_be_significant():
    def smallest(scans):
        values = np.array([np.arange(1.0, scans + 1), np.zeros(scans)])
        return p_values(values, "higher")[0, 1]

    assert smallest(FEWEST_SCANS) < SIGNIFICANCE <= smallest(FEWEST_SCANS - 1)
