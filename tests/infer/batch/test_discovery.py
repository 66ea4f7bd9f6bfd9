import os
import subprocess

import pytest

from tests.helpers.batches import report, scans
from tests.helpers.fake_command import ROOT, fake_command
from verse_infer.batch.discovery import discover, find_cases
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


def passed_over(root):
    return {p.path: (p.files, p.reason) for p in discover(root, root / "out", "verse").passed_over}


OTHERS = {
    "a.mha": "MetaImage",
    "b.MHD": "MetaImage",
    "c.nrrd": "NRRD",
    "d.nhdr": "NRRD",
    "e.hdr": "Analyze, or NIfTI in two files",
    "e.img": "Analyze, or NIfTI in two files",
    "f.img.gz": "Analyze, or NIfTI in two files",
    "g.dcm": "DICOM",
    "sub/IM001.IMA": "DICOM",
    "h.nii.bz2": "NIfTI packed otherwise",
    "i.mgz": "FreeSurfer",
    "j.mnc": "another format",
    "k.zip": "an archive",
    "l.tar.gz": "an archive",
}


@pytest.mark.parametrize("other", OTHERS)
def test_pictures_of_other_formats_are_told_each(tmp_path, other, caplog):
    tree(tmp_path, "scan.nii.gz", other, "notes.txt", "table.csv", "picture.png", "a.json")
    with caplog.at_level("INFO"):
        assert passed_over(tmp_path) == {other: (1, f"{OTHERS[other]}: only NIfTI is read")}
    assert found(tmp_path) == ["scan.nii.gz"]
    assert f"passed over: {other}: {OTHERS[other]}" in caplog.text


@pytest.mark.parametrize("name", ["IM{:05}", "1.2.840.113619.{}", "slice{}.X"])
def test_dicom_without_an_ending_is_told_by_its_content(tmp_path, name):
    tree(tmp_path, "a.nii", "series/readme", "other/DATA1")
    for number in range(30):
        (tmp_path / "series" / name.format(number)).write_bytes(bytes(128) + b"DICM" + bytes(9))
    (tmp_path / "series" / "readme").unlink()
    assert passed_over(tmp_path) == {"series": (30, "DICOM: only NIfTI is read")}


def test_what_cannot_be_opened_is_no_picture(tmp_path):
    tree(tmp_path, "a.nii")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert passed_over(tmp_path) == {}


DERIVATIVE = "named as a mask or another derivative"


@pytest.mark.parametrize(
    "folder", ["derivatives", "segmentations", "labelsTr", "labelsTs", "labels", "masks"]
)
def test_folders_of_masks_are_passed_over_as_one(tmp_path, folder):
    masks = [f"s0001/{folder}/vertebrae_{n}.nii.gz" for n in range(25)]
    tree(tmp_path, "s0001/ct.nii.gz", *masks, f"s0002/{folder}/sacrum.nii.gz", "s0002/ct.nii.gz")
    assert found(tmp_path) == ["s0001/ct.nii.gz", "s0002/ct.nii.gz"]
    assert passed_over(tmp_path) == {
        f"s0001/{folder}": (25, DERIVATIVE),
        f"s0002/{folder}/sacrum.nii.gz": (1, DERIVATIVE),
    }
    # What is asked for by name is taken.
    assert len(found(tmp_path / "s0001" / folder)) == 25


def test_a_scan_that_is_named_like_a_mask_is_told(tmp_path):
    tree(tmp_path, "neck-units-m-label-mm.nii.gz", "rawdata/sub-1/sub-1_ct.nii.gz", "T2w.nii")
    assert passed_over(tmp_path) == {
        "neck-units-m-label-mm.nii.gz": (1, DERIVATIVE),
        "T2w.nii": (1, "not named …_ct, in a tree with a folder rawdata"),
    }


def test_run_json_lists_what_was_passed_over(tmp_path):
    source, output = scans(tmp_path / "in", "a.nii", "b_seg.nii.gz"), tmp_path / "out"
    tree(source, "c.mha", *(f"segmentations/{n:02}.nii.gz" for n in range(30)))
    process = subprocess.run(
        fake_command(source, output), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert report(output)["passed_over"] == [
        {"path": "b_seg.nii.gz", "files": 1, "reason": DERIVATIVE, "such_as": None},
        {
            "path": "c.mha",
            "files": 1,
            "reason": "MetaImage: only NIfTI is read",
            "such_as": None,
        },
        {"path": "segmentations", "files": 30, "reason": DERIVATIVE, "such_as": "00.nii.gz"},
    ]
    assert "passed over: c.mha: MetaImage: only NIfTI is read" in process.stderr


def test_where_nothing_is_left_the_message_says_that_files_were_passed_over(tmp_path):
    tree(tmp_path / "in", "a.mha", "b.nrrd", "c_seg.nii.gz")
    process = subprocess.run(
        fake_command(tmp_path / "in", tmp_path / "out"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 4
    assert (
        "expected CTs in NIfTI (.nii, .nii.gz), got none, and 3 files that were" in process.stderr
    )
    assert "a.mha: MetaImage" in process.stderr
