import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.helpers.scenes import L1, L2, L3, scan, team, vertebra
from verse_eval.measures import MEASURES
from verse_eval.plots import fraction_above
from verse_eval.ranking import rank_teams
from verse_eval.report import report_page, what_is_wrong, worst_first
from verse_eval.scoring import TeamScores
from verse_infer.anatomy import label_of

T12 = label_of("T12")
NAN = float("nan")


class Page(HTMLParser):
    """Tags, cell texts and attributes of a page; open tags are counted."""

    def __init__(self, html):
        super().__init__()
        self.addresses, self.text, self.open = [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open += 1
        self.addresses += [value for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert tag not in ("meta", "img", "br")
        self.open -= 1

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page():
    steps = np.linspace(0, 0.1, 12)
    teams = (team("A & B <x>", 0.8 + steps), team("C", 0.5 + steps / 2))
    return report_page(teams, rank_teams(teams, "verse19"))


def test_the_page_needs_nothing_from_outside(page):
    parsed = Page(page)
    assert parsed.open == 0
    assert len(parsed.addresses) == 7
    assert all(a.startswith("data:image/svg+xml;base64,") for a in parsed.addresses)
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"?http", page)


def test_pictures_are_whole_and_the_same_each_time(page):
    first = Page(page).addresses[0].partition("base64,")[2]
    picture = base64.b64decode(first).decode()
    assert picture.rstrip().endswith("</svg>")
    teams = (team("x", [0.5, 0.6]), team("y", [0.4, 0.7]))
    assert report_page(teams) == report_page(teams)


def test_names_are_escaped(page):
    assert "<x>" not in page.replace("&lt;x&gt;", "")
    assert "A & B <x>" in Page(page).text


def test_sections(page):
    for title in ("Ranking (verse19)", "Scores", "Per vertebra", "Per region", "worst first"):
        assert title in page


def test_a_page_without_ranking_and_with_one_team():
    page = report_page((team("only", [0.5, 0.9]),))
    assert "Ranking" not in page
    assert "only" in page


def test_teams_without_a_task_have_a_page():
    """No labelling: dashes, no warning, no nan on the page."""
    vertebrae = vertebra(L1, None, distance_mm=NAN)
    page = report_page((TeamScores("silent", (scan("a", vertebrae), scan("b", vertebrae))),))
    assert "–" in page
    assert "nan" not in " ".join(Page(page).text)


def test_worst_scans_come_first():
    """Means of id.rate and Dice over both teams: a 0.9, b (0.95 + 0.1)/2, c without values."""
    bad = vertebra(L1, False, dice=0.2)
    first = TeamScores("1", (scan("a", vertebra(L1)), scan("b", vertebra(L1)), scan("c")))
    second = TeamScores("2", (scan("a", vertebra(L1)), scan("b", bad), scan("c")))
    assert worst_first((first, second)) == ["b", "a", "c"]


def test_a_lost_prediction_is_said_at_the_top():
    lost = TeamScores("T", (scan("a", vertebra(L1), problem="no prediction"), scan("b")))
    assert "T: 1 scans without a whole prediction" in report_page((lost,))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"problem": "no mask"}, "no mask"),
        ({"extra": (L3,), "extra_in_mask": (L3, T12)}, "extra T12 L3"),
        ({"cut_reported": (T12,)}, "incomplete but reported T12"),
    ],
)
def test_what_is_wrong_with_a_scan(fields, words):
    assert what_is_wrong(scan("a", vertebra(L1), **fields)) == words


def test_what_is_wrong_with_vertebrae():
    lost = vertebra(L2, False, distance_mm=NAN, hd_mm=NAN, dice=0.0, assigned=None)
    assert what_is_wrong(scan("a", vertebra(L1), lost)) == "missing L2"
    shifted = scan("a", vertebra(L1, False, assigned=L2), vertebra(L2, False, assigned=L3))
    assert what_is_wrong(shifted) == "one level down"
    swapped = scan("a", vertebra(L1, assigned=L3), vertebra(L2), vertebra(L3))
    assert what_is_wrong(swapped) == "named L1 as L3"


def test_fraction_of_scans_above_thresholds_by_hand():
    """Dice 0.2, 0.5, 0.5, 0.9 and one scan without."""
    scans = [*team("t", [0.2, 0.5, 0.5, 0.9]).scans, scan("empty")]
    found = fraction_above(scans, MEASURES["dice"], [0.0, 0.2, 0.3, 0.5, 0.6, 1.0])
    assert found == [1.0, 1.0, 0.75, 0.75, 0.25, 0.0]
