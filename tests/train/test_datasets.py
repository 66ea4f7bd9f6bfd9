"""The three layouts of the VerSe data, written small; what is found in them and what is made of it."""

import json
import os

import nibabel as nib
import numpy as np
import pytest

from verse_infer.anatomy import label_of
from verse_infer.errors import InputError
from verse_train.datasets import AnnotatedScan, find_scans, prepare_scan
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


def test_a_case_is_prepared_once_for_each_way_of_preparing_it(tmp_path):
    (scan,) = find_scans(verse19(tmp_path / "data"))
    cache = tmp_path / "cache"
    first = prepare_scan(scan, 4.0, 0.75, cache, whole=True)
    made = first.stat().st_mtime_ns
    assert prepare_scan(scan, 4.0, 0.75, cache, whole=True) == first
    assert first.stat().st_mtime_ns == made
    others = {
        prepare_scan(scan, 8.0, 0.75, cache, whole=True),
        prepare_scan(scan, 4.0, 3.0, cache, whole=True),
        prepare_scan(scan, 4.0, 0.75, cache, whole=False),
    }
    os.utime(scan.ct, ns=(1, 1))
    others.add(prepare_scan(scan, 4.0, 0.75, cache, whole=True))
    assert len(others | {first}) == 5


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
