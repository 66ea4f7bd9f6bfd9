"""What is found in the three layouts of the VerSe data."""

import numpy as np
import pytest

from tests.helpers.layouts import LAYOUTS, PLACES, lps, restructured
from verse_infer.anatomy import label_of
from verse_infer.errors import InputError
from verse_train.data.datasets import AnnotatedScan, find_scans, with_masks
from verse_train.data.preparation import prepare_scan
from verse_train.data.prepared import load_prepared


@pytest.mark.parametrize("convention", LAYOUTS)
def test_each_layout_is_found_with_its_convention(tmp_path, convention):
    (scan,) = find_scans(LAYOUTS[convention](tmp_path))
    assert scan.convention == convention
    assert scan.name == ("GL003_CT_ax" if convention == "verse20" else "verse004")
    assert scan.mask is not None
    assert scan.cut is None
    assert scan.ct.exists()
    assert scan.centroids.exists()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("convention", LAYOUTS)
def test_each_layout_gives_the_same_prepared_case(tmp_path, convention, whole):
    (scan,) = find_scans(LAYOUTS[convention](tmp_path / "data"))
    case = load_prepared(prepare_scan(scan, 2.0, 0.0, tmp_path / "cache", whole=whole))
    assert [c.label for c in case.centroids] == [label_of(name) for name in PLACES]
    for centroid, index in zip(case.centroids, PLACES.values(), strict=True):
        assert centroid.point == pytest.approx(lps(index), abs=1e-6)
        i, j, k = np.rint(case.lattice.index(centroid.point)).astype(int)
        assert case.mask[k, j, i] == centroid.label
        voxels = np.argwhere(case.mask == centroid.label)
        middle = case.lattice.point(voxels.mean(axis=0)[::-1])
        assert middle == pytest.approx(centroid.point, abs=1.1)
    z = case.lattice.origin[2] + 2.0 * np.arange(len(case.hu))
    assert np.abs(case.hu.mean(axis=(1, 2)) - (z * 10 - 1000)).max() < 2
    assert case.hu.dtype == np.int16
    assert case.hu.shape == case.lattice.shape


def test_scans_come_sorted_and_those_without_centroids_are_left_out(tmp_path):
    for name in ("verse010", "verse004", "verse007"):
        restructured(tmp_path, name)
    (tmp_path / "derivatives/sub-verse007/sub-verse007_seg-subreg_ctd.json").unlink()
    (tmp_path / "derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz").unlink()
    found = find_scans(tmp_path)
    assert [scan.name for scan in found] == ["verse004", "verse010"]
    assert [scan.mask is None for scan in found] == [True, False]


def test_cut_vertebrae_are_read_where_there_is_a_file_of_them(tmp_path):
    (scan,) = find_scans(restructured(tmp_path / "data", cut=True))
    case = load_prepared(prepare_scan(scan, 4.0, 0.0, tmp_path / "cache", whole=True))
    assert [c.label for c in case.cut] == [label_of("L3")]
    assert case.cut[0].point == pytest.approx(lps((31, 22, 44)))
    assert label_of("L3") not in [c.label for c in case.centroids]


@pytest.mark.parametrize("convention", LAYOUTS)
def test_links_to_files_count_and_loops_end(tmp_path, convention):
    store = LAYOUTS[convention](tmp_path / "store")
    data = tmp_path / "data"
    for path in store.rglob("*"):
        if path.is_file():
            link = data / path.relative_to(store)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
            (link.parent / "loop").unlink(missing_ok=True)
            (link.parent / "loop").symlink_to(data)
    (scan,) = find_scans(data)
    (real,) = find_scans(store)
    assert scan.convention == convention
    assert scan.ct == data / real.ct.relative_to(store)
    assert scan.mask.resolve() == real.mask


@pytest.mark.parametrize("convention", LAYOUTS)
def test_scans_behind_a_linked_folder_are_found_once(tmp_path, convention):
    LAYOUTS[convention](tmp_path / "store")
    (tmp_path / "data").mkdir()
    if convention == "verse":
        for kind in ("rawdata", "derivatives"):
            (tmp_path / "data" / kind).symlink_to(tmp_path / "store" / kind)
    else:
        for name in ("linked", "again"):
            (tmp_path / "data" / name).symlink_to(tmp_path / "store")
    (scan,) = find_scans(tmp_path / "data")
    assert scan.ct.is_relative_to(tmp_path / "data")
    assert scan.mask is not None


@pytest.mark.parametrize("linked", [("rawdata",), ("derivatives",), ("rawdata", "derivatives")])
def test_folders_of_subjects_may_be_links_in_the_restructured_layout(tmp_path, linked):
    root = restructured(tmp_path / "data", cut=True)
    for kind in linked:
        folder = root / kind / "sub-verse004"
        # Under another name and beside others, so that only the link says whose it is.
        store = tmp_path / "store" / kind / "x17"
        store.parent.mkdir(parents=True)
        folder.rename(store)
        folder.symlink_to(store)
    (scan,) = find_scans(root)
    assert scan.ct == root / "rawdata/sub-verse004/sub-verse004_ct.nii.gz"
    assert scan.mask.parent == root / "derivatives/sub-verse004"
    assert scan.cut is not None
    assert load_prepared(prepare_scan(scan, 8.0, 0.0, tmp_path / "cache", whole=True)).mask.any()


@pytest.mark.parametrize("layout", LAYOUTS.values())
def test_an_empty_folder_is_an_error(tmp_path, layout):
    with pytest.raises(InputError, match="found none"):
        find_scans(tmp_path)
    layout(tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match="found none"):
        find_scans(tmp_path)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("acrin001a", "acrin001"),
        ("acrin001b", "acrin001"),
        ("acrin001", "acrin001"),
        ("verse004", "verse004"),
        ("gl003_dir-ax", "gl003"),
        ("gl003_dir-sag", "gl003"),
        ("verse400_split-verse253", "verse400"),
        ("verse400_split-verse253_dir-iso", "verse400"),
        ("verse401_verse201_CT-iso", "verse401"),
        ("verse401_verse253_CT-iso", "verse401"),
        ("GL090_CT-ax", "GL090"),
        ("spine_12", "spine_12"),
        ("sample", "sample"),
    ],
)
def test_scans_of_one_patient_share_the_patient(tmp_path, name, patient):
    path = tmp_path / "x"
    assert AnnotatedScan(name, path, path, "verse").patient == patient


def test_two_scans_of_one_subject_are_found_as_one_patient(tmp_path):
    for entity in ("_dir-ax", "_dir-sag"):
        restructured(tmp_path, "gl003", entity)
    found = find_scans(tmp_path)
    assert [scan.name for scan in found] == ["gl003_dir-ax", "gl003_dir-sag"]
    assert {scan.patient for scan in found} == {"gl003"}


def test_stage_3_leaves_out_scans_without_a_mask(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("verse004", "verse010"):
        restructured(tmp_path, name)
    (tmp_path / "derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz").unlink()
    scans = find_scans(tmp_path)
    assert [scan.name for scan in with_masks(scans)] == ["verse010"]
    assert "left out, without a mask: 1 of 2 scans" in caplog.text
    with pytest.raises(InputError, match="expected scans with vertebra masks, got 1 without"):
        with_masks(scans[:1])
