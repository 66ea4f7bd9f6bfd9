import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from verse_infer.flags import Flag, FlagCode, flag_from

ROOT = Path(__file__).resolve().parents[2]


def test_the_docs_list_every_code_once():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "flags.md").read_text(), re.MULTILINE)
    assert rows == [code.value for code in FlagCode]


def test_every_code_is_raised_somewhere():
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "verse_infer").rglob("*.py")
        if path.name != "flags.py"
    )
    assert [name for name in FlagCode.__members__ if f"Flag(FlagCode.{name}," not in code] == []


@pytest.mark.parametrize("value", [None, 0.5, 3])
def test_a_flag_survives_json(value):
    flag = Flag(FlagCode.FORMS_DISAGREE, "sform and qform …", value)
    assert flag_from(json.loads(json.dumps(asdict(flag)))) == flag


def test_a_value_is_a_number_that_json_can_hold():
    assert Flag(FlagCode.FORMS_DISAGREE, "m", float("inf")).value is None
    assert Flag(FlagCode.FORMS_DISAGREE, "m", float("nan")).value is None


def test_another_code_is_no_flag():
    with pytest.raises(ValueError, match="unheard_of"):
        flag_from({"code": "unheard_of", "message": "", "value": None})
