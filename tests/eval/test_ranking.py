import numpy as np
import pytest

from tests.helpers.scenes import L1, scan, team, vertebra
from verse_eval.files import point_table, read_ranking, write_ranking
from verse_eval.ranking import (
    PHASE_WEIGHTS,
    SCHEMES,
    TASK_WEIGHTS,
    combine_points,
    compare_teams,
    rank_teams,
)
from verse_eval.scoring import TeamScores
from verse_infer.errors import InputError, UsageError

STEPS = np.linspace(0.0, 0.1, 12)
BEST, MIDDLE, WORST = (
    team("best", 0.9 + STEPS / 10),
    team("middle", 0.8 + STEPS / 20),
    team("worst", 0.5 + STEPS / 30),
)


def test_weights_are_those_of_figure_a13():
    """Dice and id.rate count twice HD and d_mean, segmentation twice labelling, hidden twice
    public; VerSe'20 has Dice and id.rate only."""
    weights = SCHEMES["verse19"]
    assert weights["segmentation"]["dice"] == 2 * weights["segmentation"]["hd_penalised_mm"]
    assert weights["labelling"]["id_rate"] == 2 * weights["labelling"]["d_mean_penalised_mm"]
    assert SCHEMES["verse20"] == {"segmentation": {"dice": 1.0}, "labelling": {"id_rate": 1.0}}
    assert TASK_WEIGHTS["segmentation"] == 2 * TASK_WEIGHTS["labelling"]
    assert PHASE_WEIGHTS["hidden"] == 2 * PHASE_WEIGHTS["public"]
    for table in (*weights.values(), TASK_WEIGHTS, PHASE_WEIGHTS):
        assert sum(table.values()) == pytest.approx(1.0)


def test_a_point_for_every_team_that_one_is_significantly_better_than():
    names = [s.name for s in BEST.scans]
    comparison = compare_teams((WORST, BEST, MIDDLE), "all", names, "dice")
    assert comparison.points.tolist() == [0, 2, 1]
    assert comparison.scans == 12


def test_lower_distances_win():
    near, far = team("near", 1 + STEPS, "hd"), team("far", 5 + STEPS * 2, "hd")
    names = [s.name for s in near.scans]
    assert compare_teams((near, far), "all", names, "hd_mm").points.tolist() == [1, 0]


def test_ranking_by_hand():
    """Three teams, Dice alone differs: 2, 1, 0 points of 3. VerSe'20: 2/3 of it. VerSe'19: 2/3 of
    2/3."""
    teams = (WORST, BEST, MIDDLE)
    twenty = rank_teams(teams, "verse20")
    np.testing.assert_allclose(twenty.final, [0, 2 / 3 * 2 / 3, 2 / 3 * 1 / 3])
    assert twenty.places == (3, 1, 2)
    nineteen = rank_teams(teams, "verse19")
    np.testing.assert_allclose(nineteen.final, np.array([0, 2 / 3, 1 / 3]) * 4 / 9)


def test_phases_by_hand():
    """Normalised points of two teams, as in figure A.13.

    Public: Dice ½, HD 0, id.rate 0, d_mean ½: segmentation 1/3, labelling 1/6, phase 5/18.
    Hidden: Dice ½, HD ½, id.rate ½, d_mean 0: segmentation 1/2, labelling 1/3, phase 4/9.
    Final: 1/3 of 5/18 and 2/3 of 4/9 is 7/18.
    """
    wins = {
        ("public", "dice"): 1,
        ("public", "hd_penalised_mm"): 0,
        ("public", "id_rate"): 0,
        ("public", "d_mean_penalised_mm"): 1,
        ("hidden", "dice"): 1,
        ("hidden", "hd_penalised_mm"): 1,
        ("hidden", "id_rate"): 1,
        ("hidden", "d_mean_penalised_mm"): 0,
    }
    points = {key: np.array([n, 0]) for key, n in wins.items()}
    ranking = combine_points("verse19", ("a", "b"), points)
    assert ranking.tasks["public", "segmentation"][0] == pytest.approx(1 / 3)
    assert ranking.tasks["public", "labelling"][0] == pytest.approx(1 / 6)
    assert ranking.phases["public"][0] == pytest.approx(5 / 18)
    assert ranking.phases["hidden"][0] == pytest.approx(4 / 9)
    assert ranking.final.tolist() == [pytest.approx(7 / 18), 0.0]


def test_a_team_better_than_all_others_everywhere_gets_all_but_its_own_share():
    """11 of 12 points in every measure (VerSe'19 had twelve teams) make 11/12 in the end."""
    points = {
        (phase, measure): np.array([11, *[0] * 11])
        for phase in ("public", "hidden")
        for weights in SCHEMES["verse19"].values()
        for measure in weights
    }
    ranking = combine_points("verse19", tuple("abcdefghijkl"), points)
    assert ranking.final[0] == pytest.approx(11 / 12)
    assert ranking.places == (1, *[2] * 11)


def test_phases_share_out_the_scans():
    names = [s.name for s in BEST.scans]
    ranking = rank_teams(
        (BEST, WORST), "verse20", {"public": set(names[:2]), "hidden": set(names[2:])}
    )
    # Two scans are too few for a point, ten are enough: hidden 2/3 × segmentation 2/3 × 1/2.
    assert ranking.final.tolist() == [pytest.approx(2 / 9), 0.0]
    assert [one.scans for one in ranking.comparisons] == [2, 2, 10, 10]


@pytest.mark.parametrize(
    ("public", "hidden", "message"),
    [
        (["s00"], [f"s{i:02}" for i in range(12)], "in both"),
        (["s00"], ["s01"], "in no phase"),
        (["s00", "x"], [f"s{i:02}" for i in range(1, 12)], "without scores"),
        ([], [f"s{i:02}" for i in range(12)], "empty"),
    ],
)
def test_phases_that_do_not_share_out_the_scans_are_refused(public, hidden, message):
    with pytest.raises(UsageError, match=message):
        rank_teams((BEST, WORST), "verse20", {"public": public, "hidden": hidden})


def test_other_phases_are_refused():
    with pytest.raises(UsageError, match="public and hidden"):
        rank_teams((BEST, WORST), "verse20", {"first": ["s00"], "second": ["s01"]})


def test_teams_must_have_the_same_scans():
    with pytest.raises(UsageError, match="s11"):
        rank_teams((BEST, team("short", STEPS[:11])), "verse20")
    with pytest.raises(UsageError, match="at least two"):
        rank_teams((BEST,), "verse20")


def test_a_team_without_labelling_gets_and_gives_no_points_there():
    silent = TeamScores(
        "silent",
        tuple(
            scan(s.name, vertebra(L1, None, distance_mm=float("nan"), dice=0.95 + i / 1000))
            for i, s in enumerate(BEST.scans)
        ),
    )
    ranking = rank_teams((silent, WORST), "verse20")
    assert ranking.normalised["all", "dice"].tolist() == [0.5, 0.0]
    assert ranking.normalised["all", "id_rate"].tolist() == [0.0, 0.0]


def test_ranking_is_read_back(tmp_path):
    ranking = rank_teams((WORST, BEST, MIDDLE), "verse19")
    write_ranking(tmp_path, ranking)
    again = read_ranking(tmp_path / "ranking.json")
    assert again.places == ranking.places
    np.testing.assert_allclose(again.final, ranking.final)
    np.testing.assert_allclose(again.comparisons[0].p_values, ranking.comparisons[0].p_values)


def test_files_of_a_ranking(tmp_path):
    write_ranking(tmp_path, rank_teams((WORST, BEST), "verse20"))
    assert {p.name for p in tmp_path.iterdir()} == {
        "ranking.csv",
        "ranking.json",
        "pvalues_all_dice.csv",
        "pvalues_all_id_rate.csv",
    }
    table = (tmp_path / "ranking.csv").read_text().splitlines()
    assert table[0] == "place,team,score,segmentation,dice,labelling,id_rate"
    assert table[1] == "1,best,0.3333,0.5000,0.5000,0.0000,0.0000"
    matrix = (tmp_path / "pvalues_all_dice.csv").read_text().splitlines()
    assert matrix[1] == "worst,,1"
    assert matrix[2].startswith("best,0.00024")


def test_point_table_is_best_first():
    _, rows = point_table(rank_teams((WORST, BEST, MIDDLE), "verse20"))
    assert [row[:2] for row in rows] == [["1", "best"], ["2", "middle"], ["3", "worst"]]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "ranking.json").write_text("{}")
    with pytest.raises(InputError, match="expected a ranking"):
        read_ranking(tmp_path / "ranking.json")
