"""Nothing that runs in the container, or makes what runs there, can unpickle or call home."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NETWORKING = {
    "aiohttp",
    "asyncio",
    "ftplib",
    "http",
    "httpx",
    "requests",
    "smtplib",
    "socket",
    "socketserver",
    "ssl",
    "telnetlib",
    "urllib",
    "urllib3",
    "xmlrpc",
}
FILES = sorted(
    path
    for package in ("verse_infer", "verse_train", "verse_eval")
    for path in (ROOT / package).rglob("*.py")
)


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def calls(tree, name):
    """Calls of a method or of a module's function."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr == name:
            yield node


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_can_unpickle(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not PICKLING & set(imported(tree))
    if path.is_relative_to(ROOT / "verse_infer"):
        assert "multiprocessing" not in set(imported(tree))  # it pickles what it passes on
    for call in calls(tree, "load"):
        if getattr(call.func.value, "id", "") == "np":
            allowed = {k.arg: k.value for k in call.keywords}["allow_pickle"]
            assert isinstance(allowed, ast.Constant)
            assert allowed.value is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_can_call_home(path):
    assert not NETWORKING & set(imported(ast.parse(path.read_text(encoding="utf-8"))))
