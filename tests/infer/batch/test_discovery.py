import pytest

from verse_infer.batch.discovery import find_cases
from verse_infer.errors import UsageError


def tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def found(root, output=None):
    return [c.relative.as_posix() for c in find_cases(root, output or root / "out", "verse")]


def test_flat_folder(tmp_path):
    tree(tmp_path, "b.nii.gz", "a.nii", "a_seg.nii.gz", "b_ctd.json", ".hidden.nii.gz", "x.txt")
    assert found(tmp_path) == ["a.nii", "b.nii.gz"]


def test_folder_per_case_with_odd_names(tmp_path):
    names = ["-7/-7.nii.gz", "a b/ü 1.nii.gz", "case\n2/v.nii.gz"]
    tree(tmp_path, *names, "a b/ü 1_seg.nii.gz")
    assert sorted(found(tmp_path)) == sorted(names)


def test_bids_like_tree_takes_cts_only(tmp_path):
    tree(
        tmp_path,
        "rawdata/sub-1/sub-1_ct.nii.gz",
        "rawdata/sub-1/sub-1_T2w.nii.gz",
        "derivatives/sub-1/sub-1_seg-vert_msk.nii.gz",
        "derivatives/sub-1/sub-1_ct.nii.gz",
    )
    assert found(tmp_path) == ["rawdata/sub-1/sub-1_ct.nii.gz"]
    assert found(tmp_path / "rawdata") == ["sub-1/sub-1_T2w.nii.gz", "sub-1/sub-1_ct.nii.gz"]


def test_own_outputs_inside_the_input_are_no_cases(tmp_path):
    tree(tmp_path, "a.nii.gz", "out/b.nii.gz")
    assert found(tmp_path, tmp_path / "out") == ["a.nii.gz"]


def test_one_file(tmp_path):
    tree(tmp_path, "a.nii.gz", "b.nii.gz")
    assert found(tmp_path / "b.nii.gz") == ["b.nii.gz"]


def test_second_case_with_the_same_outputs_has_a_rival(tmp_path):
    tree(tmp_path, "a.nii", "a.nii.gz")
    first, second = find_cases(tmp_path, tmp_path / "out", "verse")
    assert first.rival is None
    assert second.rival == first.relative


def test_links_to_files_count_and_link_loops_end(tmp_path):
    tree(tmp_path, "store/a.nii.gz", "in/real.nii.gz")
    (tmp_path / "in" / "linked.nii.gz").symlink_to(tmp_path / "store" / "a.nii.gz")
    (tmp_path / "in" / "broken.nii.gz").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    # The broken one counts, too: it is refused later rather than lost.
    assert found(tmp_path / "in") == ["broken.nii.gz", "linked.nii.gz", "real.nii.gz"]


def test_links_to_folders_count_once(tmp_path):
    tree(tmp_path, "store/p1/a.nii.gz", "store/p2/b.nii.gz", "in/p2/c.nii.gz", "store/out/d.nii.gz")
    (tmp_path / "in" / "first").symlink_to(tmp_path / "store" / "p1")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in" / "p2")
    (tmp_path / "in" / "p2" / "up").symlink_to(tmp_path / "store")
    (tmp_path / "in" / "results").symlink_to(tmp_path / "store" / "out")
    cases = find_cases(tmp_path / "in", tmp_path / "store" / "out", "verse")
    # Not again/c.nii.gz nor p2/up/p1/a.nii.gz; the output is passed over.
    assert [str(case.relative) for case in cases] == [
        "first/a.nii.gz",
        "p2/c.nii.gz",
        "p2/up/p2/b.nii.gz",
    ]


def test_no_input_is_an_error_and_an_empty_folder_is_not(tmp_path):
    assert found(tmp_path) == []
    with pytest.raises(UsageError, match="nowhere"):
        find_cases(tmp_path / "nowhere", tmp_path / "out", "verse")
