"""Which folders of LD_LIBRARY_PATH may stay, and what a module that is run isolated does not see."""

import os
import subprocess
import sys

import pytest

from verse_infer.surroundings import isolated_command, own_library_folders

INTERPRETER = "libpython3.11.so.1.0"


@pytest.fixture
def folders(tmp_path):
    """Folders with libraries: of the card, of everybody, of a host with both, of the interpreter."""
    content = {
        "card": ["libcuda.so.1", "libnvidia-ml.so.1"],
        "toolkit": ["libcudart.so.12", "libcudnn.so.9", "libnvrtc.so"],
        "host": ["libstdc++.so.6", "libz.so.1"],
        "conda": ["libcudart.so.12", "libstdc++.so.6.0.33", INTERPRETER],
        "other": ["libhdf5.so", "libprotobuf.so.25"],
        "empty": [],
        "python": [INTERPRETER, "libstdc++.so.6"],
    }
    for name, libraries in content.items():
        (tmp_path / name).mkdir()
        for library in libraries:
            (tmp_path / name / library).touch()
    return tmp_path


@pytest.mark.parametrize("name", ["card", "toolkit"])
def test_the_cards_libraries_stay(folders, name):
    assert own_library_folders([str(folders / name)], []) == [str(folders / name)]


@pytest.mark.parametrize("name", ["host", "conda", "other", "empty", "python", "missing"])
def test_what_shadows_the_packages_own_goes(folders, name):
    assert own_library_folders([str(folders / name)], []) == []


def test_what_the_interpreter_itself_needs_stays(folders):
    (folders / "link").symlink_to(folders / "python")
    loaded = [str(folders / "python" / INTERPRETER), "[heap]", ""]
    stated = [str(folders / name) for name in ("conda", "link", "card", "host")]
    assert own_library_folders(stated, loaded) == [stated[1], stated[2]]


def test_the_working_folder_is_no_place_for_libraries(folders, monkeypatch):
    monkeypatch.chdir(folders / "host")
    assert own_library_folders(["", "."], []) == []


def test_an_isolated_module_sees_nothing_of_the_hosts(tmp_path, monkeypatch):
    """Not its PYTHONPATH, not its PYTHONHOME, not its working folder."""
    for name in ("json", "enum", "numpy", "verse_infer"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a stranger')")
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}
    command = isolated_command("verse_infer.surroundings", "a b", "--c")
    assert command[0] == sys.executable
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
