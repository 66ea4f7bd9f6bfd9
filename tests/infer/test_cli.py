import signal
import subprocess
import sys
from pathlib import Path

import pytest

from verse_infer import cli
from verse_infer.batch.report import CaseReport

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _signals_as_before():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def reports(*states):
    return [CaseReport(str(i), state, (0, 0)) for i, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("succeeded", "succeeded"), 0),
        (("succeeded", "failed"), 3),
        (("failed", "failed"), 4),
    ],
)
def test_exit_code_tells_what_became_of_the_cases(states, code):
    assert cli.exit_code(reports(*states)) == code


def test_wrong_usage_ends_with_2_and_one_line(tmp_path, capfd):
    assert cli.main(["--input", str(tmp_path / "no"), "--output", str(tmp_path / "out")]) == 2
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii").write_bytes(b"x")
    arguments = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert cli.main([*arguments, "--weights", str(tmp_path)]) == 2
    assert cli.main([*arguments, "--end-margin-mm", "-1"]) == 2
    assert cli.main([*arguments, "--centroids-from", str(tmp_path / "no")]) == 2
    (tmp_path / "file").write_text("")
    assert cli.main([*arguments[:3], str(tmp_path / "file")]) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 5
    assert "manifest.json" in lines[1]
    assert not any("Traceback" in line for line in lines)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["--unknown"])


def test_no_case_ends_with_4(tmp_path):
    (tmp_path / "in").mkdir()
    assert cli.main(["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 4


#: What the entry point does, with a signal after the last line of the log.
ENDING = """
import os, sys
from verse_infer.cli import main
code = main(["--input", sys.argv[1], "--output", sys.argv[2]])
os.kill(os.getpid(), int(sys.argv[3]))
sys.exit(code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_command_ends_changes_nothing(tmp_path, number):
    arguments = [str(tmp_path / "no"), str(tmp_path / "out"), str(int(number))]
    ended = subprocess.run(
        [sys.executable, "-c", ENDING, *arguments], cwd=ROOT, capture_output=True, check=False
    )
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr


def test_the_readme_lists_every_option():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for action in cli.parser()._actions:
        for option in action.option_strings:
            if option not in ("-h", "--help"):
                assert f"`{option}" in text or f"/{option}" in text, option
