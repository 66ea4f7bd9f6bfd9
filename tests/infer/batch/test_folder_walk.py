import os

import pytest

from verse_infer.batch.discovery import files_below, walk
from verse_infer.errors import UsageError


def tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root, *without):
    return [path.relative_to(root).as_posix() for path in files_below(root, without)]


def test_files_come_in_the_order_of_their_paths_without_hidden_ones(tmp_path):
    tree(tmp_path, "b/2", "b/1", "a.txt", ".hidden", ".git/config", "b/.x/y", "lost+found/z")
    assert found(tmp_path) == ["a.txt", "b/1", "b/2"]


def test_a_hidden_folder_can_be_walked_itself(tmp_path):
    assert found(tree(tmp_path / ".cache", "a")) == ["a"]


def test_each_real_folder_counts_once_and_loops_end(tmp_path):
    tree(tmp_path, "store/p/a", "in/real/b")
    for link, target in {
        "in/linked": "store/p",
        "in/linked-again": "store/p",
        "in/real/up": "in",
        "store/p/down": "in/real",
    }.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    assert found(tmp_path / "in") == ["linked/a", "real/b"]


def test_links_to_files_and_broken_ones_are_files(tmp_path):
    tree(tmp_path, "store/a", "in/b")
    (tmp_path / "in" / "a").symlink_to(tmp_path / "store" / "a")
    (tmp_path / "in" / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "itself").symlink_to(tmp_path / "in" / "itself")
    assert found(tmp_path / "in") == ["a", "b", "broken", "itself"]


def test_a_folder_left_out_is_so_with_all_below_it_whatever_link_leads_there(tmp_path):
    tree(tmp_path, "in/a", "in/out/b", "out/case/c")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out" / "case")
    assert found(tmp_path / "in", tmp_path / "in" / "out", tmp_path / "out") == ["a"]


@pytest.mark.parametrize("without", [".", "..", "../.."])
def test_a_folder_inside_one_that_is_left_out_is_walked_all_the_same(tmp_path, without):
    root = tree(tmp_path / "x" / "in", "a", "p/b")
    assert found(root, root / without) == ["a", "p/b"]


def test_a_folder_above_that_is_left_out_is_not_entered_by_a_link(tmp_path):
    tree(tmp_path, "in/a", "b")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    assert found(tmp_path / "in", tmp_path) == ["a"]


def test_a_folder_that_cannot_be_listed_is_an_error_unless_the_caller_takes_it(
    tmp_path, monkeypatch
):
    tree(tmp_path, "a/1", "closed/2")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(UsageError, match=r"closed: expected a folder to list: Permission denied"):
        files_below(tmp_path)
    closed = []
    folders = [here for here, _, _ in walk(tmp_path, on_closed=closed.append)]
    assert folders == [tmp_path, tmp_path / "a"]
    assert closed == [tmp_path / "closed"]
