import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from verse_infer.anatomy import name_of
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids
from verse_infer.flags import FlagCode
from verse_infer.grid import Lattice
from verse_train.data.datasets import find_scans
from verse_train.data.preparation import prepare_scan
from verse_train.data.prepared import load_prepared
from verse_train.synthetic import sample
from verse_train.synthetic.sample import SEED, write_sample
from verse_train.synthetic.spine_curve import REGULAR, pose_spine

REAL = sample.LATTICE


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """The sample's field of view in voxels of 4 × 4 × 4.5 mm instead of 1 × 1 × 1.5."""
    low, size = sample.LATTICE.origin, sample.LATTICE.size
    wide = Lattice(low, (4.0, 4.0, 4.5), (size[0] // 4, size[1] // 4, size[2] // 3))
    monkeypatch.setattr(sample, "LATTICE", wide)


def checksums(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_sample(tmp_path / name, seed)
    one, again, other = (checksums(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one.keys() == other.keys()
    assert not set(one.values()) & set(other.values())


def test_the_sample_is_a_restructured_verse_data_set(tmp_path):
    path = write_sample(tmp_path)
    assert path == tmp_path / "rawdata/sub-sample/sub-sample_ct.nii.gz"
    assert sorted(checksums(tmp_path)) == [
        "derivatives/sub-sample/sub-sample_seg-subreg_ctd.json",
        "derivatives/sub-sample/sub-sample_seg-vert_msk.nii.gz",
        "rawdata/sub-sample/sub-sample_ct.nii.gz",
    ]
    (scan,) = find_scans(tmp_path)
    assert (scan.name, scan.convention) == ("sample", "verse")
    assert scan.mask is not None
    assert json.loads(scan.centroids.read_text())[0] == {"direction": ["P", "I", "R"]}


def test_ct_mask_and_centroids_fit_each_other(tmp_path):
    write_sample(tmp_path)
    (scan,) = find_scans(tmp_path)
    image, mask = nib.load(scan.ct), nib.load(scan.mask)
    assert nib.aff2axcodes(image.affine) == ("P", "I", "R")
    assert np.allclose(image.affine, mask.affine)
    assert image.shape == mask.shape
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
    ct = read_ct(scan.ct)
    # Its bone is fainter than that of any patient.
    assert [flag.code for flag in ct.flags] == [FlagCode.VALUES_CUT]
    assert ct.lattice.origin == pytest.approx(sample.LATTICE.origin, abs=1e-3)
    assert ct.lattice.size == sample.LATTICE.size
    labels = np.asarray(mask.dataobj)
    centroids = read_centroids(scan.centroids, ct.source, "verse")
    assert len(centroids) >= 5
    to_index = np.linalg.inv(image.affine)
    for centroid in centroids:
        x, y, z = centroid.point
        i, j, k = np.rint((to_index @ (-x, -y, z, 1))[:3]).astype(int)
        assert labels[i, j, k] == centroid.label
    hu = np.asarray(image.dataobj)
    assert hu[labels > 0].mean() > 150 > hu[labels == 0].mean()


def test_the_sample_can_be_prepared_for_training(tmp_path):
    write_sample(tmp_path / "data")
    (scan,) = find_scans(tmp_path / "data")
    case = load_prepared(prepare_scan(scan, 8.0, 0.0, tmp_path / "cache", whole=True))
    assert case.patient == "sample"
    assert case.mask is not None
    assert {c.label for c in case.centroids} <= set(np.unique(case.mask).tolist())


def test_the_real_sample_shows_the_middles_of_t8_to_l5_in_a_moderate_size():
    spine = pose_spine(REGULAR, np.random.default_rng(SEED), 0.3)
    low, high = REAL.corners().min(axis=0), REAL.corners().max(axis=0)
    seen = [name_of(v.label) for v in spine if (low < v.centre).all() and (v.centre < high).all()]
    assert seen == ["T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5"]
    assert np.prod(REAL.size) < 20e6
