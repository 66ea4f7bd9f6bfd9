import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from verse_infer import __version__
from verse_infer.batch.report import (
    REPORT_NAME,
    SCHEMA_VERSION,
    CaseReport,
    RunProgress,
    RunSettings,
    earlier_successes,
    now,
    write_report,
)
from verse_infer.flags import Flag, FlagCode

SETTINGS = RunSettings(
    {"stage/model0": "abc"}, "/CPU:0", "float32", {"labelling": None, "margin": 10.0, "x": (1, 2)}
)
GOOD = CaseReport(
    "a.nii.gz",
    "succeeded",
    (1234, 5678),
    ("a_ctd.json", "a_seg.nii.gz"),
    ("T12", "L1"),
    (Flag(FlagCode.DIRECTION_REPAIRED, "direction repaired", 0.5),),
    None,
    {"total": 1.5},
)
BAD = CaseReport("b.nii.gz", "failed", (1, 2), error="b.nii.gz: expected a CT, got a drawing ä")


def write(folder, cases=(GOOD, BAD), found=3, interrupted=False, settings=SETTINGS):
    progress = RunProgress("2026-01-01", found, interrupted=interrupted, complete=not interrupted)
    write_report(folder, settings, cases, progress)
    return json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))


def test_the_report_says_what_was_asked_for_and_what_became_of_every_case(tmp_path):
    content = write(tmp_path / "out")
    assert content["schema_version"] == SCHEMA_VERSION
    assert content["verse"] == __version__
    assert content["weights"] == {"stage/model0": "abc"}
    assert (content["device"], content["precision"]) == ("/CPU:0", "float32")
    assert content["options"] == {"labelling": None, "margin": 10.0, "x": [1, 2]}
    assert content["started"] == "2026-01-01"
    assert (content["interrupted"], content["complete"]) == (False, True)
    assert content["summary"] == {"cases": 3, "succeeded": 1, "failed": 1, "resumed": 0}
    first, second = content["cases"]
    assert first["vertebrae"] == ["T12", "L1"]
    assert first["seconds"] == {"total": 1.5}
    assert first["flags"] == [
        {"code": "direction_repaired", "message": "direction repaired", "value": 0.5}
    ]
    assert second["error"].endswith("got a drawing ä")


def test_it_names_the_versions_it_ran_with(tmp_path):
    versions = write(tmp_path)["versions"]
    assert {"python", "numpy", "SimpleITK"} <= set(versions)
    assert versions["numpy"] == __import__("numpy").__version__


def test_a_report_without_cases_can_be_written(tmp_path):
    summary = write(tmp_path, (), 0, True)["summary"]
    assert summary == {"cases": 0, "succeeded": 0, "failed": 0, "resumed": 0}


def test_now_is_utc_to_the_second():
    moment = datetime.fromisoformat(now())
    assert moment.tzinfo == UTC
    assert moment.microsecond == 0


def test_successes_are_taken_over_and_failures_are_not(tmp_path):
    write(tmp_path)
    assert earlier_successes(tmp_path, SETTINGS) == {"a.nii.gz": replace(GOOD, resumed=True)}


def test_a_case_resumed_twice_is_counted_once_as_resumed(tmp_path):
    write(tmp_path)
    again = tuple(earlier_successes(tmp_path, SETTINGS).values())
    assert write(tmp_path, again)["summary"]["resumed"] == 1
    assert earlier_successes(tmp_path, SETTINGS) == {"a.nii.gz": again[0]}


@pytest.mark.parametrize(
    "change",
    [
        {"weights": {"stage/model0": "other"}},
        {"weights": {}},
        {"device": "/GPU:0"},
        {"precision": "bfloat16"},
        {"options": {"labelling": "chain"}},
    ],
)
def test_other_settings_take_nothing_over(tmp_path, change):
    write(tmp_path)
    assert earlier_successes(tmp_path, replace(SETTINGS, **change)) == {}


@pytest.mark.parametrize("field", ["schema_version", "verse"])
def test_a_report_of_another_version_takes_nothing_over(tmp_path, field):
    content = write(tmp_path)
    content[field] = "0.0.0"
    (tmp_path / REPORT_NAME).write_text(json.dumps(content))
    assert earlier_successes(tmp_path, SETTINGS) == {}


def test_without_a_report_nothing_is_taken_over(tmp_path):
    assert earlier_successes(tmp_path / "nowhere", SETTINGS) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b'{"cases": 1}'])
def test_an_unreadable_report_takes_nothing_over(tmp_path, content):
    (tmp_path / REPORT_NAME).write_bytes(content)
    assert earlier_successes(tmp_path, SETTINGS) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"stamp": []},
        {"stamp": None},
        {"stamp": ["x", "y"]},
        {"outputs": None},
        {"seconds": 3},
        {"flags": ["direction repaired"]},
        {"flags": [{"code": "unheard_of", "message": "", "value": None}]},
        {"input": []},
    ],
)
def test_a_report_with_a_broken_case_takes_nothing_over(tmp_path, change):
    content = write(tmp_path)
    content["cases"][0].update(change)
    (tmp_path / REPORT_NAME).write_text(json.dumps(content))
    assert earlier_successes(tmp_path, SETTINGS) == {}


def test_a_case_that_lacks_an_entry_takes_nothing_over(tmp_path):
    for key in ("input", "status", "stamp", "outputs", "vertebrae", "flags", "seconds"):
        content = write(tmp_path)
        del content["cases"][0][key]
        (tmp_path / REPORT_NAME).write_text(json.dumps(content))
        assert earlier_successes(tmp_path, SETTINGS) == {}, key
