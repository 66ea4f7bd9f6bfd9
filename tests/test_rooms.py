"""Which module may import which: only what stands below it."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: The modules of verse_infer from the ground up. A new one is to be added at its place.
FLOORS = (
    "errors",
    "texts",
    "anatomy",
    "flags",
    "logs",
    "concurrency",
    "grid",
    "ct",
    "resampling",
    "weights",
    "networks",
    "spine",
    "landmarks",
    "segmentation",
    "labelling.paths",
    "labelling.sequence",
    "labelling.chain",
    "labelling.bodies",
    "labelling",
    "quality",
    "pipeline",
    "files",
    "files.atomic",
    "files.nifti",
    "files.ct_reading",
    "files.verse",
    "files.preview",
    "batch",
    "batch.discovery",
    "batch.report",
    "batch.case",
    "batch.messages",
    "batch.worker",
    "batch.run",
    "batch.supervisor",
    "cli",
)
#: What each package may import of the others.
PACKAGES = {
    "verse_infer": {"verse_infer"},
    "verse_eval": {"verse_infer", "verse_eval"},
    "verse_train": {"verse_infer", "verse_eval", "verse_train"},
    "verse_bench": {"verse_infer", "verse_train", "verse_bench"},
}


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    """All modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = {name_of(path): path for path in sorted((ROOT / "verse_infer").rglob("*.py"))}


def test_every_module_has_its_floor():
    assert {f"verse_infer.{floor}" for floor in FLOORS} == MODULES.keys() - {"verse_infer"}


@pytest.mark.parametrize("floor", FLOORS)
def test_no_import_runs_upwards(floor):
    below = {f"verse_infer.{name}" for name in FLOORS[: FLOORS.index(floor)]}
    own = f"verse_infer.{floor}"
    used = {name for name in imported(MODULES[own]) if name in MODULES} - {"verse_infer"}
    # A package's own parts lie inside it.
    assert {name for name in used - below if not own.startswith(f"{name}.")} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_build_on(package):
    used = {
        name.split(".")[0] for path in (ROOT / package).rglob("*.py") for name in imported(path)
    }
    assert {name for name in used if name.startswith("verse_")} <= PACKAGES[package]


def test_modules_hold_one_idea_whole():
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES.values()]
    assert len(lengths) <= 40
    assert statistics.median(lengths) >= 100


def test_no_test_imports_another():
    for path in sorted((ROOT / "tests").rglob("*.py")):
        parts = {part for name in imported(path) for part in name.split(".")[:-1]}
        assert not {part for part in parts if part.startswith("test_")}, path
