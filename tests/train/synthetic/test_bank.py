import json

import nibabel as nib
import numpy as np
import pytest

from verse_infer.anatomy import label_of
from verse_infer.grid import Lattice
from verse_infer.weights import STAGES
from verse_train.data.prepared import load_prepared
from verse_train.synthetic import bank
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.bank import (
    bank_spacing,
    fill_bank,
    fill_mask_bank,
    masked_shapes,
)

from .bodies import mean_body


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Banks of smaller and coarser scans."""
    lattices = dict.fromkeys(STAGES, (5.0, (44, 40), (150.0, 250.0)))
    monkeypatch.setattr(bank, "_LATTICES", lattices)


def test_stages_2_and_3_have_the_spacing_of_their_networks_and_stage_1_half(monkeypatch):
    monkeypatch.undo()
    assert [bank_spacing(stage) for stage in STAGES] == [4.0, 2.0, 1.0]


def contents(folder):
    return {path.name: load_prepared(path) for path in sorted(folder.glob("*.npz"))}


@pytest.mark.parametrize("with_atlas", [False, True])
def test_a_bank_is_the_same_for_the_same_seed(tmp_path, with_atlas):
    atlas = mean_body() if with_atlas else None
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        fill_bank(tmp_path / name, "vertebra_localisation", 2, seed, atlas)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert list(one) == ["synthetic-1-0000.npz", "synthetic-1-0001.npz"]
    for name, case in one.items():
        assert np.array_equal(case.hu, again[name].hu)
        assert np.array_equal(case.mask, again[name].mask)
    assert not set(one) & set(other)
    hus = [case.hu for case in (*one.values(), *other.values())]
    assert len({hu.tobytes() for hu in hus}) == 4


def test_scans_of_a_bank_hold_labelled_vertebrae_with_centroids_inside(tmp_path):
    fill_bank(tmp_path, "vertebra_segmentation", 4, 3, mean_body())
    for case in contents(tmp_path).values():
        assert case.centroids
        for centroid in (*case.centroids, *case.cut):
            i, j, k = np.rint(case.lattice.index(centroid.point)).astype(int)
            i, j, k = np.minimum((i, j, k), np.array(case.lattice.size) - 1)
            if centroid.label != label_of("C1"):
                near = case.mask[max(k - 1, 0) : k + 2, j - 1 : j + 2, i - 1 : i + 2]
                assert centroid.label in near
        assert -1024 <= case.hu.min() < -500
        assert 200 < case.hu.max() <= 8000
        assert case.lattice.spacing == (5.0, 5.0, 5.0)


def test_a_bank_is_continued_not_redone(tmp_path):
    fill_bank(tmp_path, "spine_localisation", 1, 1, None)
    (first,) = tmp_path.glob("*.npz")
    made = first.stat().st_mtime_ns
    fill_bank(tmp_path, "spine_localisation", 2, 1, None)
    assert first.stat().st_mtime_ns == made
    assert len(contents(tmp_path)) == 2
    alone = tmp_path / "alone"
    fill_bank(alone, "spine_localisation", 2, 1, None)
    for name, case in contents(alone).items():
        assert np.array_equal(case.hu, contents(tmp_path)[name].hu)


@pytest.mark.parametrize("stage", ["spine_localisation", "vertebra_localisation"])
def test_only_where_names_are_learned_a_scan_holds_what_names_a_column(
    tmp_path, stage, monkeypatch
):
    """Five sixths are needed, not all: after twenty views without it a scan is taken as it is."""
    monkeypatch.setattr(bank, "random_kind", lambda _: "L6")
    fill_bank(tmp_path, stage, 6, 1, None)
    told = sum(
        {label_of("T12"), label_of("L6")} <= {c.label for c in case.centroids}
        for case in contents(tmp_path).values()
    )
    assert told >= 5 if stage == "vertebra_localisation" else told <= 3


MASK_AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


@pytest.fixture
def mask(tmp_path):
    """Two boxes of 30 × 24 × 21 mm in slices of 3 mm, with their centroids."""
    labels = np.zeros((40, 34, 22), np.uint8)
    labels[5:35, 5:29, 2:9], labels[5:35, 5:29, 12:19] = 21, 20
    path = tmp_path / "masks" / "sub-verse004_seg-vert_msk.nii.gz"
    path.parent.mkdir()
    nib.Nifti1Image(labels, MASK_AFFINE).to_filename(path)
    entries = [
        {"direction": ["R", "A", "S"]},
        {"label": 20, "X": 19.5, "Y": 16.5, "Z": 15.0},
        {"label": 21, "X": 19.5, "Y": 16.5, "Z": 5.0},
        {"label": 22, "X": 19.5, "Y": 16.5, "Z": 1.0},  # not in the mask
    ]
    (path.parent / "sub-verse004_seg-subreg_ctd.json").write_text(json.dumps(entries))
    return path


def test_scans_around_a_real_mask(tmp_path, mask):
    fill_mask_bank(tmp_path / "bank", mask, 2, 1)
    fill_mask_bank(tmp_path / "again", mask, 2, 1)
    one, again = contents(tmp_path / "bank"), contents(tmp_path / "again")
    assert list(one) == ["sub-verse004-1-0000.npz", "sub-verse004-1-0001.npz"]
    first, second = one.values()
    assert np.array_equal(first.hu, again["sub-verse004-1-0000.npz"].hu)
    assert np.array_equal(first.mask, second.mask)
    assert not np.array_equal(first.hu, second.hu)
    assert first.lattice.spacing == (1.0, 1.0, 1.0)
    for case in (first, second):
        assert [c.label for c in case.centroids] == [20, 21]
        for centroid in case.centroids:
            voxels = np.argwhere(case.mask == centroid.label)
            assert case.lattice.point(voxels.mean(axis=0)[::-1]) == pytest.approx(
                centroid.point, abs=0.8
            )
            assert len(voxels) == pytest.approx(30 * 24 * 21, rel=0.1)
        assert case.hu[case.mask > 0].mean() > np.median(case.hu[case.mask == 0]) + 20


def test_scans_around_a_real_mask_belong_to_its_patient(tmp_path, mask):
    """Else a held-out patient's anatomy would be trained on."""
    fill_mask_bank(tmp_path / "bank", mask, 1, 1)
    (case,) = contents(tmp_path / "bank").values()
    assert case.patient == "verse004"


def test_around_vertebrae_is_muscle_and_nothing_else_is_bone():
    lattice = Lattice.centred((0.0, 0.0, 0.0), 1.0, (40, 40, 40))
    mask = np.zeros(lattice.shape, np.uint8)
    mask[10:30, 10:30, 10:30] = 5
    anatomy = masked_shapes(mask, lattice, (), np.random.default_rng(0))
    assert np.array_equal(anatomy.tissue == Tissue.VERTEBRA, mask > 0)
    assert anatomy.tissue[20, 20, 31] == anatomy.tissue[8, 20, 20] == Tissue.MUSCLE
    soft = {Tissue.BOWEL_GAS, Tissue.FAT, Tissue.MUSCLE, Tissue.SOFT_ORGAN, Tissue.BLOOD}
    assert set(np.unique(anatomy.tissue)) <= soft | {Tissue.VERTEBRA}
    assert len(set(np.unique(anatomy.tissue))) > 3


def test_a_bank_scan_without_atlas_is_its_own_patient(tmp_path):
    fill_bank(tmp_path, "vertebra_segmentation", 1, 1, None)
    (case,) = contents(tmp_path).values()
    assert case.patient == case.name == "synthetic-1-0000"
