"""Which module may import which: only what stands below it."""

import ast
import graphlib
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: The modules of verse_infer from the ground up. A new one is to be added at its place.
FLOORS = (
    "surroundings",
    "errors",
    "texts",
    "anatomy",
    "flags",
    "logs",
    "concurrency",
    "grid",
    "ct",
    "labelling.rules",
    "labelling.paths",
    "labelling.sequence",
    "labelling.chain",
    "labelling",
    "resampling",
    "weights",
    "runtime",
    "networks",
    "spine",
    "landmarks",
    "segmentation",
    "straightening",
    "identification",
    "naming",
    "labelling.bodies",
    "quality",
    "pipeline",
    "files",
    "files.atomic",
    "files.nifti",
    "files.voxel_values",
    "files.ct_reading",
    "files.verse",
    "files.preview",
    "batch",
    "batch.discovery",
    "batch.report",
    "batch.case",
    "batch.worker",
    "batch.run",
    "batch.supervisor",
    "cli",
    "__main__",
)
#: The same of the other packages; where a folder is named, its modules stand on one floor.
ROOMS = {
    "verse_infer": FLOORS,
    "verse_eval": (
        "grids",
        "metrics",
        "pairs",
        "scan_scores",
        "measures",
        "summaries",
        "scoring",
        "ranking",
        "files",
        "plots",
        "report",
        "cli",
        "__main__",
    ),
    "verse_train": (
        "sizes",
        "config",
        "centroid_statistics",
        "check",
        "networks",
        "data",
        "synthetic",
        "training",
        "identification",
        "export",
        "published",
        "cross_validation",
        "commands",
        "cli",
        "__main__",
    ),
    "verse_bench": (
        "clock",
        "paths",
        "scans",
        "paper_weights",
        "measurement",
        "report",
        "cli",
        "__main__",
    ),
}
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


MODULES = {
    name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
}
#: Which of them each one imports, but for the packages that it lies in itself.
GRAPH = {
    own: {name for name in imported(path) if name in MODULES and not own.startswith(f"{name}.")}
    for own, path in MODULES.items()
}


def floor_of(module):
    """Place of a module among the rooms of its package; of several that hold it, the innermost."""
    package, _, inside = module.partition(".")
    rooms = ROOMS[package]
    return rooms.index(
        max((r for r in rooms if f"{inside}.".startswith(f"{r}.")), key=len, default="no room")
    )


def test_every_module_has_its_floor():
    assert {f"verse_infer.{floor}" for floor in FLOORS} == {
        name for name in MODULES if name.startswith("verse_infer.")
    }
    for module in MODULES.keys() - PACKAGES.keys():
        floor_of(module)


@pytest.mark.parametrize("module", sorted(MODULES.keys() - PACKAGES.keys()))
def test_no_import_runs_upwards(module):
    package = module.split(".")[0]
    used = {name for name in GRAPH[module] if name.startswith(f"{package}.")}
    assert {name for name in used if floor_of(name) > floor_of(module)} == set()


def test_no_imports_run_in_a_circle():
    list(graphlib.TopologicalSorter(GRAPH).static_order())


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_build_on(package):
    used = {
        name.split(".")[0] for path in (ROOT / package).rglob("*.py") for name in imported(path)
    }
    assert {name for name in used if name.startswith("verse_")} <= PACKAGES[package]


def test_modules_hold_one_idea_whole():
    lengths = {m: len(path.read_text(encoding="utf-8").splitlines()) for m, path in MODULES.items()}
    assert max(lengths.values()) <= 400
    # A package's name and its door, of a few lines, hold no idea.
    inference = [n for m, n in lengths.items() if m.startswith("verse_infer") and n > 15]
    assert len(inference) <= 40
    assert statistics.median(inference) >= 100


def test_no_test_imports_another():
    for path in sorted((ROOT / "tests").rglob("*.py")):
        parts = {part for name in imported(path) for part in name.split(".")[:-1]}
        assert not {part for part in parts if part.startswith("test_")}, path
