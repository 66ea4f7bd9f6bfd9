import pytest

from verse_eval.pairs import case_key, find_case_files, pair_cases
from verse_infer.errors import UsageError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sub-verse004", "verse004"),
        ("sub-verse506_dir-iso", "verse506_CT-iso"),
        ("sub-gl003_dir-ax", "GL003_CT_ax"),
        ("sub-verse400_split-verse153", "verse153"),
    ],
)
def test_a_scan_has_one_key_in_all_conventions(one, other):
    assert case_key(one) == case_key(other)


def test_reformats_of_one_patient_are_different_scans():
    assert case_key("sub-verse506_dir-iso") != case_key("sub-verse506_dir-sag")


def test_restructured_names(tmp_path):
    base = "derivatives/sub-verse004/sub-verse004"
    touch(
        tmp_path,
        "rawdata/sub-verse004/sub-verse004_ct.nii.gz",
        f"{base}_seg-vert_msk.nii.gz",
        f"{base}_seg-subreg_ctd.json",
        f"{base}_partial_ctd.json",
        f"{base}_seg-subreg_msk.nii.gz",
        f"{base}_seg-vert_snp.png",
        "dataset_description.json",
    )
    (files,) = find_case_files(tmp_path).values()
    assert files.name == "verse004"
    assert files.mask == tmp_path / f"{base}_seg-vert_msk.nii.gz"
    assert files.centroids == tmp_path / f"{base}_seg-subreg_ctd.json"
    assert files.cut == tmp_path / f"{base}_partial_ctd.json"
    assert files.cts == (tmp_path / "rawdata/sub-verse004/sub-verse004_ct.nii.gz",)


def test_challenge_names(tmp_path):
    touch(
        tmp_path,
        *("verse004.nii.gz", "verse004_ctd.json", "verse004_seg.nii.gz"),
        *(f"verse506/verse506_CT-iso{e}" for e in (".nii.gz", "_iso-ctd.json", "_seg.nii.gz")),
    )
    found = find_case_files(tmp_path)
    assert set(found) == {"verse004", "verse506-iso"}
    assert all(f.centroids and f.mask and f.cts and not f.cut for f in found.values())


def test_scans_are_paired_across_conventions(tmp_path):
    touch(
        tmp_path / "ref",
        "derivatives/sub-verse004/sub-verse004_seg-subreg_ctd.json",
        "derivatives/sub-verse005/sub-verse005_seg-subreg_ctd.json",
    )
    touch(tmp_path / "out", "verse004_iso-ctd.json", "verse009_ctd.json", "run.json", ".x_ctd.json")
    pairs, unpaired = pair_cases(tmp_path / "ref", tmp_path / "out")
    assert [pair.name for pair in pairs] == ["verse004", "verse005"]
    assert pairs[0].prediction.centroids.name == "verse004_iso-ctd.json"
    assert pairs[1].prediction is None
    assert unpaired == ("verse009",)


def test_predictions_may_lie_inside_the_reference_folder(tmp_path):
    touch(tmp_path, "verse004_ctd.json", "output/verse004_ctd.json")
    pairs, _ = pair_cases(tmp_path, tmp_path / "output")
    assert pairs[0].reference.centroids == tmp_path / "verse004_ctd.json"
    assert pairs[0].prediction.centroids == tmp_path / "output" / "verse004_ctd.json"


def test_links_are_followed_each_real_folder_once(tmp_path):
    base = "store/verse004/verse004"
    touch(tmp_path, f"{base}_ctd.json", f"{base}_seg.nii.gz", "store/verse005_ctd.json")
    ref = tmp_path / "ref"
    ref.mkdir()
    (ref / "verse004").symlink_to(tmp_path / "store" / "verse004")
    (ref / "again").symlink_to(tmp_path / "store" / "verse004")
    (ref / "loop").symlink_to(ref)
    (ref / "verse005_ctd.json").symlink_to(tmp_path / "store" / "verse005_ctd.json")
    (ref / "verse006_ctd.json").symlink_to(tmp_path / "nowhere")
    found = find_case_files(ref)
    assert set(found) == {"verse004", "verse005"}
    assert found["verse004"].mask.name == "verse004_seg.nii.gz"
    assert found["verse005"].centroids == ref / "verse005_ctd.json"


def test_restructured_scans_behind_links_are_found_whole(tmp_path):
    store, ref = tmp_path / "store", tmp_path / "ref"
    touch(store, "raw/sub-verse004_ct.nii.gz", "made/sub-verse004_seg-subreg_ctd.json")
    for kind, place in {"rawdata": "raw", "derivatives": "made"}.items():
        (ref / kind).mkdir(parents=True)
        (ref / kind / "sub-verse004").symlink_to(store / place)
    (files,) = find_case_files(ref).values()
    assert files.cts == (ref / "rawdata/sub-verse004/sub-verse004_ct.nii.gz",)
    assert files.centroids.parent == ref / "derivatives/sub-verse004"


def test_predictions_that_a_link_in_the_reference_leads_to_are_none_of_it(tmp_path):
    touch(tmp_path, "ref/verse004_ctd.json", "out/team/verse004_ctd.json")
    (tmp_path / "ref" / "results").symlink_to(tmp_path / "out" / "team")
    pairs, _ = pair_cases(tmp_path / "ref", tmp_path / "out")
    assert pairs[0].reference.centroids == tmp_path / "ref" / "verse004_ctd.json"


def test_a_folder_can_be_compared_with_itself_and_with_what_it_lies_in(tmp_path):
    touch(tmp_path, "verse004_ctd.json", "ref/verse004_ctd.json")
    for prediction in (tmp_path / "ref", tmp_path):
        pairs, _ = pair_cases(tmp_path / "ref", prediction)
        assert pairs[0].prediction.centroids == prediction / "verse004_ctd.json"


def test_two_files_of_one_kind_are_refused(tmp_path):
    touch(tmp_path, "a/verse004_ctd.json", "b/sub-verse004_ctd.json")
    with pytest.raises(UsageError, match="one file of its kind"):
        find_case_files(tmp_path)


def test_nothing_to_compare_is_refused(tmp_path):
    with pytest.raises(UsageError, match="none"):
        pair_cases(tmp_path / "no", tmp_path)
    touch(tmp_path / "ref", "verse004_ctd.json")
    touch(tmp_path / "out", "verse005_ctd.json")
    with pytest.raises(UsageError, match="verse004"):
        pair_cases(tmp_path / "ref", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="annotated scans"):
        pair_cases(tmp_path / "empty", tmp_path / "out")


def test_results_that_lie_in_the_reference_are_none_of_it(tmp_path, caplog):
    """As after `make run`, and after scoring other weights into a second folder."""
    base = "derivatives/sub-verse004/sub-verse004"
    touch(tmp_path / "ref", "rawdata/sub-verse004_ct.nii.gz", f"{base}_seg-subreg_ctd.json")
    for run in ("ref/output", "ref/runs/second", "elsewhere"):
        name = f"{run}/rawdata/sub-verse004_seg-subreg_ctd.json"
        touch(tmp_path, f"{run}/run.json", name)
    for prediction in ("elsewhere", "ref/output", "ref/runs/second"):
        with caplog.at_level("INFO"):
            pairs, unpaired = pair_cases(tmp_path / "ref", tmp_path / prediction)
        (pair,) = pairs
        assert pair.reference.centroids == tmp_path / "ref" / f"{base}_seg-subreg_ctd.json"
        assert pair.prediction.centroids.is_relative_to(tmp_path / prediction)
        assert unpaired == ()
    assert "passed over, results of a run: " in caplog.text


def test_results_may_be_a_reference_themselves(tmp_path):
    touch(tmp_path, "out/run.json", "out/verse004_ctd.json", "other/verse004_ctd.json")
    for reference in (tmp_path / "out", tmp_path):
        pairs, _ = pair_cases(reference, tmp_path / "other")
        assert pairs[0].reference.centroids == tmp_path / "out" / "verse004_ctd.json"
