"""Ranking of teams by points from pairwise tests (Sekuboyina et al. 2021, appendix A).

Is one team better than another? The value of a measure on each scan is a sample; a pair differs where
p < 0.001 in a one-sided Wilcoxon signed-rank test over scans.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from verse_eval.measures import MEASURES
from verse_eval.scoring import TeamScores
from verse_infer.errors import UsageError

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


#: Weights of measures within a task, by scheme and task (figure A.13).
SCHEMES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "verse19": {
        "segmentation": {"dice": 2 / 3, "hd_penalised_mm": 1 / 3},
        "labelling": {"id_rate": 2 / 3, "d_mean_penalised_mm": 1 / 3},
    },
    "verse20": {"segmentation": {"dice": 1.0}, "labelling": {"id_rate": 1.0}},
}
TASK_WEIGHTS: Mapping[str, float] = {"segmentation": 2 / 3, "labelling": 1 / 3}
PHASE_WEIGHTS: Mapping[str, float] = {"public": 1 / 3, "hidden": 2 / 3}
#: The one phase of a ranking without phases.
ONLY_PHASE = "all"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All teams against each other in one measure of one phase.

    scans: number of scans. p_values: teams × teams, [i, j] for "i is better than j"; nan where
    nothing could be compared. points: per team, teams it is significantly better than.
    """

    phase: str
    measure: str
    scans: int
    p_values: NDArray[np.float64]
    points: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The point table.

    Per team, in the order of `teams`: normalised points by (phase, measure), between 0 and 1; task
    scores by (phase, task); phase scores by phase; final scores; places from 1, equal scores share
    one.
    """

    scheme: str
    teams: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    normalised: Mapping[tuple[str, str], NDArray[np.float64]]
    tasks: Mapping[tuple[str, str], NDArray[np.float64]]
    phases: Mapping[str, NDArray[np.float64]]
    final: NDArray[np.float64]
    places: tuple[int, ...]


def rank_teams(
    teams: Sequence[TeamScores],
    scheme: str,
    phases: Mapping[str, Collection[str]] | None = None,
) -> Ranking:
    """Compare every pair of teams on the same scans and combine the points.

    phases: names of scans, by "public" and "hidden"; without them all scans are one phase.
    UsageError where teams were scored on different scans, or the phases do not share out the scans.
    """
    names = _common_scans(teams)
    phases = _checked_phases(names, phases)
    measures = [name for weights in SCHEMES[scheme].values() for name in weights]
    comparisons = tuple(
        compare_teams(teams, phase, sorted(scans), measure)
        for phase, scans in phases.items()
        for measure in measures
    )
    points = {(one.phase, one.measure): one.points for one in comparisons}
    return combine_points(scheme, tuple(team.team for team in teams), points, comparisons)


def compare_teams(
    teams: Sequence[TeamScores], phase: str, scans: Sequence[str], measure: str
) -> Comparison:
    """Pairwise tests of one measure over the named scans, and the points they give."""
    of, better = MEASURES[measure].of, MEASURES[measure].better
    tables = [{scan.name: scan for scan in team.scans} for team in teams]
    values = np.array([[of(table[name]) for name in scans] for table in tables])
    p = p_values(values, better)
    with np.errstate(invalid="ignore"):
        points = (p < SIGNIFICANCE).sum(axis=1)
    return Comparison(phase, measure, len(scans), p, points)


def combine_points(
    scheme: str,
    teams: tuple[str, ...],
    points: Mapping[tuple[str, str], NDArray[np.int64]],
    comparisons: tuple[Comparison, ...] = (),
) -> Ranking:
    """From points per (phase, measure) to final scores and places.

    Points are divided by the number of teams, then weighted: measures within a task, tasks within a
    phase, phases.
    """
    normalised = {key: np.asarray(counts) / len(teams) for key, counts in points.items()}
    phases = list(dict.fromkeys(phase for phase, _ in points))
    tasks = {
        (phase, task): _weighted({name: normalised[phase, name] for name in weights}, weights)
        for phase in phases
        for task, weights in SCHEMES[scheme].items()
    }
    by_phase = {
        phase: _weighted({task: tasks[phase, task] for task in TASK_WEIGHTS}, TASK_WEIGHTS)
        for phase in phases
    }
    final = _weighted(by_phase, PHASE_WEIGHTS if len(phases) > 1 else dict.fromkeys(phases, 1.0))
    return Ranking(scheme, teams, comparisons, normalised, tasks, by_phase, final, _places(final))


def _weighted(
    scores: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float]
) -> NDArray[np.float64]:
    return np.asarray(np.sum([weights[name] * score for name, score in scores.items()], axis=0))


def _places(final: NDArray[np.float64]) -> tuple[int, ...]:
    """Place of every score; those that differ by rounding only are equal."""
    rounded = np.round(final, 9)
    return tuple(1 + int((rounded > score).sum()) for score in rounded)


def _common_scans(teams: Sequence[TeamScores]) -> frozenset[str]:
    if len(teams) < 2:
        raise UsageError(f"expected scores of at least two teams, got {len(teams)}")
    names = frozenset(scan.name for scan in teams[0].scans)
    for team in teams[1:]:
        differing = names ^ {scan.name for scan in team.scans}
        if differing:
            raise UsageError(
                f"expected {team.team} on the same scans as {teams[0].team}, they differ in "
                f"{', '.join(sorted(differing)[:5])}"
            )
    return names


def _checked_phases(
    names: frozenset[str], phases: Mapping[str, Collection[str]] | None
) -> Mapping[str, Collection[str]]:
    if not phases:
        return {ONLY_PHASE: names}
    if set(phases) != set(PHASE_WEIGHTS):
        raise UsageError(f"expected the phases public and hidden, got {', '.join(phases)}")
    public, hidden = frozenset(phases["public"]), frozenset(phases["hidden"])
    problems = {
        "in both phases": public & hidden,
        "in no phase": names - public - hidden,
        "without scores": (public | hidden) - names,
    }
    for problem, scans in problems.items():
        if scans:
            raise UsageError(
                f"expected every scored scan in one phase, got {problem}: "
                f"{', '.join(sorted(scans)[:5])}"
            )
    if not public or not hidden:
        raise UsageError("expected scans in both phases, got an empty one")
    return {"public": public, "hidden": hidden}
