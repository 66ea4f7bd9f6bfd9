import csv
import json
import math

import pytest

from tests.helpers.scenes import L1, L2, L3, scan, vertebra
from verse_eval.files import read_scores, write_scores, write_table
from verse_eval.scoring import TeamScores
from verse_infer.errors import InputError

SCORES = TeamScores(
    "Team",
    (
        scan(
            "a",
            vertebra(L1),
            vertebra(L2, False, distance_mm=math.nan, dice=0.0, hd_mm=math.nan, assigned=None),
            extra=(L3,),
            cut=(19,),
            cut_reported=(19,),
            problem="no mask",
        ),
        scan("b"),
    ),
    ("c",),
)


def test_scores_are_read_back_as_they_were(tmp_path):
    """nan is not equal to itself, so the representations are compared."""
    write_scores(tmp_path / "s.json", SCORES)
    assert repr(read_scores(tmp_path / "s.json")) == repr(SCORES)
    assert read_scores(tmp_path / "s.json", "Other").team == "Other"


def test_the_file_is_strict_json_with_scans_and_summaries(tmp_path):
    write_scores(tmp_path / "s.json", SCORES)
    content = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    assert content["summaries"][0]["scope"] == "all"
    first = content["scans"][0]
    assert first["measures"]["id_rate"] == 0.5
    assert first["missing"] == first["missing_in_mask"] == [L2]
    assert first["vertebrae"][1]["hd_mm"] is None
    assert first["field_of_view"] == "no junction"


def test_the_table_has_rows_per_vertebra_scan_and_group(tmp_path):
    write_table(tmp_path / "s.csv", SCORES)
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    vertebrae = [row for row in rows if row["scope"] == "vertebra of scan"]
    assert [row["vertebra"] for row in vertebrae] == ["L1", "L2"]
    assert vertebrae[1]["hd_mm"] == ""
    (a, _) = (row for row in rows if row["scope"] == "scan")
    assert (a["missing"], a["extra"], a["id_rate"], a["problem"]) == ("L2", "L3", "0.5", "no mask")
    means = [row for row in rows if (row["scope"], row["statistic"]) == ("all", "mean")]
    assert means[0]["extra"] == "1"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "x", "version": 1}', '{"format": "verse_eval scores"}']
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(InputError, match="expected scores"):
        read_scores(tmp_path / "s.json")
    with pytest.raises(InputError, match="expected scores"):
        read_scores(tmp_path / "none.json")
