"""The three layouts of the VerSe data, written small; what is found in them and what is made of it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from verse_infer.anatomy import label_of
from verse_infer.errors import InputError
from verse_train import __main__ as command
from verse_train.config import CONFIGS
from verse_train.datasets import AnnotatedScan, find_scans, prepare_scan, with_masks
from verse_train.networks import STAGES
from verse_train.prepared import load_prepared

#: Axes L, P, I of voxels 1 × 1.5 × 2 mm (RAS affine): any orientation must do.
AFFINE = np.array([[-1.0, 0, 0, 40], [0, -1.5, 0, 30], [0, 0, -2.0, 200], [0, 0, 0, 1]])
SHAPE = (60, 44, 50)
#: Voxel index i, j, k of two vertebrae.
PLACES = {"L1": (30, 20, 10), "L2": (31, 22, 26)}


def write(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, affine).to_filename(path)


def volumes():
    """HU rise along the body by 10 per mm of z; labels are boxes around the vertebrae."""
    k = np.indices(SHAPE)[2]
    hu = ((200 - 2.0 * k) * 10 - 1000).astype(np.int16)
    mask = np.zeros(SHAPE, np.uint8)
    for name, (a, b, c) in PLACES.items():
        mask[a - 8 : a + 9, b - 6 : b + 7, c - 4 : c + 5] = label_of(name)
    return hu, mask


def lps(index):
    return (AFFINE @ [*index, 1])[:3] * (-1, -1, 1)


def directed(convention, index):
    """A voxel of the file's own axes (L, P, I) as X, Y, Z of a convention."""
    i, j, k = index
    mm = (1.0 * i, 1.5 * j, 2.0 * k)
    if convention == "verse19":  # inferior, posterior, left
        return mm[2], mm[1], mm[0]
    if convention == "verse20":  # posterior, inferior, right
        return mm[1], mm[2], (SHAPE[0] - 1) - mm[0]
    return index


def write_centroids(path, convention, places=PLACES):
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {"label": label_of(name), **dict(zip("XYZ", directed(convention, p), strict=True))}
        for name, p in places.items()
    ]
    if convention == "verse":
        entries.insert(0, {"direction": ["L", "P", "I"]})
    path.write_text(json.dumps(entries))


def restructured(root, name="verse004", entity="", cut=False):
    stem = f"sub-{name}{entity}"
    hu, mask = volumes()
    raw, derived = root / "rawdata" / f"sub-{name}", root / "derivatives" / f"sub-{name}"
    write(raw / f"{stem}_ct.nii.gz", hu)
    write(derived / f"{stem}_seg-vert_msk.nii.gz", mask)
    write_centroids(derived / f"{stem}_seg-subreg_ctd.json", "verse")
    if cut:
        write_centroids(derived / f"{stem}_partial_ctd.json", "verse", {"L3": (31, 22, 44)})
    return root


def verse20(root, name="GL003_CT_ax"):
    hu, mask = volumes()
    write(root / name / f"{name}.nii.gz", hu)
    write(root / name / f"{name}_seg.nii.gz", mask)
    write_centroids(root / name / f"{name}_iso-ctd.json", "verse20")
    return root


def verse19(root, name="verse004"):
    hu, mask = volumes()
    write(root / f"{name}.nii.gz", hu)
    write(root / f"{name}_seg.nii.gz", mask)
    write_centroids(root / f"{name}_ctd.json", "verse19")
    return root


LAYOUTS = {"verse": restructured, "verse20": verse20, "verse19": verse19}


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


def test_a_mask_on_another_grid_is_refused(tmp_path):
    (scan,) = find_scans(verse19(tmp_path / "data"))
    write(scan.mask, np.zeros((10, 10, 10), np.uint8))
    with pytest.raises(InputError, match=r"expected the grid of its CT, got one of \(10, 10, 10\)"):
        prepare_scan(scan, 2.0, 0.0, tmp_path / "cache", whole=True)
    assert not list((tmp_path / "cache").glob("*"))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


WAYS = {"smoothing": (3.0, True), "extent": (0.75, False)}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_case_is_prepared_once_and_anew_in_another_way(tmp_path, way):
    (scan,) = find_scans(verse19(tmp_path / "data"))
    cache = tmp_path / "cache"
    first = prepare_scan(scan, 4.0, 0.75, cache, whole=True)
    made = first.stat().st_mtime_ns
    assert prepare_scan(scan, 4.0, 0.75, cache, whole=True) == first
    assert first.stat().st_mtime_ns == made
    other = prepare_scan(scan, 4.0, way[0], cache, whole=way[1])
    assert names_in(cache) == [other.name]
    assert other != first


@pytest.mark.parametrize("file", ["ct", "centroids", "mask", "cut"])
def test_a_corrected_file_makes_the_case_anew_and_removes_the_old_one(tmp_path, file):
    (scan,) = find_scans(restructured(tmp_path / "data", cut=True))
    cache = tmp_path / "cache"
    first = prepare_scan(scan, 8.0, 0.0, cache, whole=True)
    os.utime(getattr(scan, file), ns=(1, 1))
    second = prepare_scan(scan, 8.0, 0.0, cache, whole=True)
    assert second != first
    assert names_in(cache) == [second.name]
    if file == "centroids":
        size_kept = scan.centroids.read_text().replace("30", "33")
        scan.centroids.write_text(size_kept)
        case = load_prepared(prepare_scan(scan, 8.0, 0.0, cache, whole=True))
        assert case.centroids[0].point == pytest.approx(lps((33, 20, 10)))


def test_a_file_of_another_size_makes_the_case_anew_though_its_time_is_kept(tmp_path):
    (scan,) = find_scans(verse19(tmp_path / "data"))
    status = scan.centroids.stat()
    first = prepare_scan(scan, 8.0, 0.0, tmp_path / "cache", whole=True)
    write_centroids(scan.centroids, "verse19", {"L1": PLACES["L1"]})
    os.utime(scan.centroids, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = prepare_scan(scan, 8.0, 0.0, tmp_path / "cache", whole=True)
    assert len(load_prepared(second).centroids) == 1
    assert not first.exists()


def test_a_mask_or_cut_centroids_that_appear_make_the_case_anew(tmp_path):
    root = restructured(tmp_path / "data", cut=True)
    whole = find_scans(root)[0]
    bare = replace(whole, mask=None, cut=None)
    first = prepare_scan(bare, 8.0, 0.0, tmp_path / "cache", whole=True)
    second = prepare_scan(whole, 8.0, 0.0, tmp_path / "cache", whole=True)
    assert not first.exists()
    assert load_prepared(second).mask is not None
    assert load_prepared(second).cut


def test_other_scans_and_other_spacings_stay_in_the_cache(tmp_path):
    names = ("verse00", "verse001", "verse00_8mm_0123456789ab", "verse00_8mm", "erse00")
    for name in names:
        verse19(tmp_path / "data", name)
    cache = tmp_path / "cache"
    scans = {scan.name: scan for scan in find_scans(tmp_path / "data")}
    kept = {prepare_scan(scan, 8.0, 0.0, cache, whole=True).name for scan in scans.values()}
    kept.add(prepare_scan(scans["verse00"], 4.0, 0.0, cache, whole=True).name)
    kept.add(prepare_scan(scans["verse00"], 8.5, 0.0, cache, whole=True).name)
    assert len(kept) == len(names) + 2
    changed = prepare_scan(scans["verse00"], 8.0, 1.0, cache, whole=True)
    assert set(names_in(cache)) - kept == {changed.name}
    assert len(kept - set(names_in(cache))) == 1


def test_two_scans_of_one_name_stay_and_are_warned_of(tmp_path, caplog):
    cache = tmp_path / "cache"
    paths = []
    for root in ("one", "other"):
        assert "of the same name" not in caplog.text
        (scan,) = find_scans(verse19(tmp_path / root))
        paths.append(prepare_scan(scan, 8.0, 0.0, cache, whole=True))
    assert len(names_in(cache)) == 2
    assert f"{paths[0]}: of the same name as {paths[1].name}" in caplog.text


def test_a_case_stays_the_same_from_wherever_its_data_set_is_reached(tmp_path, monkeypatch):
    root = restructured(tmp_path / "data")
    (tmp_path / "linked").symlink_to(root)
    monkeypatch.chdir(root)
    made = {
        prepare_scan(find_scans(folder)[0], 8.0, 0.0, tmp_path / "cache", whole=True)
        for folder in (root, tmp_path / "linked", Path())
    }
    assert names_in(tmp_path / "cache") == [path.name for path in made]


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


@pytest.mark.parametrize(("stage", "expected"), [(STAGES[1], 2), (STAGES[2], 1)])
def test_prepare_takes_scans_without_a_mask_for_the_stages_that_need_none(
    tmp_path, monkeypatch, stage, expected
):
    coarse = replace(CONFIGS["compact"][stage], spacing_mm=8.0)
    monkeypatch.setitem(CONFIGS["compact"], stage, coarse)
    for name in ("verse004", "verse010"):
        verse19(tmp_path / name, name)
    (tmp_path / "verse004" / "verse004_seg.nii.gz").unlink()
    options = ["--data", str(tmp_path / "verse004"), str(tmp_path / "verse010")]
    options += ["--stage", stage, "--cache", str(tmp_path / "cache")]
    assert command.main(["prepare", *options]) == 0
    assert len(names_in(tmp_path / "cache")) == expected


def test_prepare_ends_with_an_error_where_stage_3_has_no_mask(tmp_path):
    (scan,) = find_scans(verse19(tmp_path / "data"))
    scan.mask.unlink()
    options = ["--data", str(tmp_path / "data"), "--cache", str(tmp_path / "cache")]
    assert command.main(["prepare", "--stage", STAGES[2], *options]) == 2
    assert not (tmp_path / "cache").exists()


def test_far_from_the_spine_nothing_is_kept_for_the_later_stages(tmp_path):
    wide = (400, 44, 50)
    hu = np.broadcast_to(np.arange(wide[0], dtype=np.int16)[:, None, None], wide)
    write(tmp_path / "data/wide.nii.gz", hu)
    write_centroids(tmp_path / "data/wide_ctd.json", "verse19", {"L1": (30, 20, 10)})
    (scan,) = find_scans(tmp_path / "data")
    extents = [
        load_prepared(prepare_scan(scan, 4.0, 0.0, tmp_path / "cache", whole=whole)).lattice.size
        for whole in (True, False)
    ]
    assert extents[0][0] == 399 // 4 + 1
    assert extents[1][0] == (30 + 130) // 4 + 1  # 30 mm on one side, 130 mm on the other
    assert extents[0][1:] == extents[1][1:]


def test_smoothing_is_applied(tmp_path):
    noise = np.random.default_rng(0).normal(0, 300, SHAPE).astype(np.int16)
    write(tmp_path / "data/n.nii.gz", noise)
    write_centroids(tmp_path / "data/n_ctd.json", "verse19")
    (scan,) = find_scans(tmp_path / "data")
    plain, smooth = (
        load_prepared(prepare_scan(scan, 2.0, s, tmp_path / "cache", whole=True)).hu.std()
        for s in (0.0, 3.0)
    )
    assert smooth < 0.2 * plain
