"""Is one team better than another? One-sided Wilcoxon signed-rank tests over scans.

Sekuboyina et al. 2021, appendix A.1: the value of a measure on each scan is a sample; a pair differs
where p < 0.001.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SIGNIFICANCE = 0.001
#: With fewer scans on which two teams differ no p-value lies below 0.001: 2^-9 is 0.002.
FEWEST_SCANS = 10


def p_values(
    values: NDArray[np.float64], better: Literal["higher", "lower"]
) -> NDArray[np.float64]:
    """p[i, j]: probability of the data if team i were no better than team j.

    values: teams × scans; nan where a team has no value. Result: teams × teams; nan on the diagonal
    and where two teams share no scan. Scans on which both are equal are left out, as
    scipy.stats.wilcoxon does; teams equal on all scans get 1.
    """
    teams = len(values)
    result = np.full((teams, teams), np.nan)
    for i in range(teams):
        for j in range(teams):
            if i != j:
                result[i, j] = _p_value(values[i], values[j], better)
    return result


def _p_value(
    one: NDArray[np.float64], other: NDArray[np.float64], better: Literal["higher", "lower"]
) -> float:
    # Rounded, so that differences equal but for their last bits get the same rank.
    difference = np.round(one - other, 9)
    difference = difference[~np.isnan(difference)]
    if not difference.size:
        return float("nan")
    if not difference.any():
        return 1.0
    alternative = "greater" if better == "higher" else "less"
    test = stats.wilcoxon(difference, alternative=alternative, zero_method="wilcox")
    return float(test.pvalue)
