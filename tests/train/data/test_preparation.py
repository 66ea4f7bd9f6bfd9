"""What is made of annotated scans, and when it is made anew."""

import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.layouts import (
    AFFINE,
    PLACES,
    SHAPE,
    lps,
    restructured,
    verse19,
    write,
    write_centroids,
)
from verse_infer.errors import InputError
from verse_infer.weights import STAGES
from verse_train import cli as command
from verse_train.config import CONFIGS
from verse_train.data.datasets import find_scans
from verse_train.data.preparation import prepare_scan
from verse_train.data.prepared import load_prepared


def moved(affine, mm):
    other = np.array(affine)
    other[0, 3] += mm
    return other


#: Masks beside a CT of 60×44×50 voxels, as (shape, affine).
OTHER_GRIDS = {
    "other size": ((10, 10, 10), AFFINE),
    "no place stated": (SHAPE, np.eye(4)),
    "a voxel away": (SHAPE, moved(AFFINE, 1.0)),
    "coarser": (SHAPE, AFFINE @ np.diag([1.0, 1.0, 1.2, 1.0])),
}


@pytest.mark.parametrize("kind", OTHER_GRIDS)
def test_a_mask_on_another_grid_is_refused(tmp_path, kind):
    (scan,) = find_scans(verse19(tmp_path / "data"))
    shape, affine = OTHER_GRIDS[kind]
    write(scan.mask, np.zeros(shape, np.uint8), affine)
    with pytest.raises(
        InputError, match="not on the grid of its CT: expected 60×44×50 vox"
    ) as caught:
        prepare_scan(scan, 2.0, 0.0, tmp_path / "cache", whole=True)
    assert scan.mask.name in str(caught.value)
    assert "got " + "×".join(map(str, shape)) in str(caught.value)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LPI", "PIR", "SAL", "IRP"])
def test_a_mask_stored_in_another_orientation_is_turned_onto_its_ct(tmp_path, axes):
    (scan,) = find_scans(verse19(tmp_path / "data"))
    plain = load_prepared(prepare_scan(scan, 2.0, 0.0, tmp_path / "plain", whole=True))
    image = nib.load(scan.mask)
    wanted = nib.orientations.axcodes2ornt(axes)
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted)
    turned = nib.Nifti1Image(np.asarray(image.dataobj), image.affine).as_reoriented(turn)
    write(scan.mask, np.asarray(turned.dataobj), turned.affine)
    case = load_prepared(prepare_scan(scan, 2.0, 0.0, tmp_path / "turned", whole=True))
    assert plain.mask.any()
    assert np.array_equal(case.mask, plain.mask)


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
