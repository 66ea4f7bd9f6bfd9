"""Masks of real scans by a network: what is kept, what is left out, where it lies."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.helpers.fake_networks import fake_network
from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_infer.networks import Networks
from verse_infer.runtime import Runtime
from verse_train import cli as command
from verse_train.data.datasets import find_scans
from verse_train.data.prepared import load_prepared
from verse_train.data.pseudo_labels import self_label
from verse_train.synthetic.anatomy_map import AnatomyMap
from verse_train.synthetic.scan_files import write_scan

LATTICE = Lattice((0.0, 0.0, 0.0), (1.5, 1.5, 2.0), (40, 44, 60))
PLACES = {"L1": (30.0, 28.0, 84.0), "L2": (31.0, 30.0, 50.0), "L3": (30.0, 32.0, 20.0)}
RADIUS = 9.0


@pytest.fixture
def scan(tmp_path):
    """A scan with centroids; each vertebra is a bright ball."""
    i, j, k = np.indices(LATTICE.size)
    points = LATTICE.point(np.stack([i, j, k], axis=-1)).transpose(2, 1, 0, 3)
    hu = np.random.default_rng(0).normal(0, 10, LATTICE.shape).astype(np.int16)
    for place in PLACES.values():
        hu[np.linalg.norm(points - place, axis=-1) < RADIUS] = 600
    centroids = tuple(Centroid(label_of(name), place) for name, place in PLACES.items())
    empty = np.zeros(LATTICE.shape, np.uint8)
    write_scan(tmp_path / "data", "sub-one", AnatomyMap(empty, empty, centroids, (), LATTICE), hu)
    for mask in (tmp_path / "data" / "derivatives").rglob("*_msk.nii.gz"):
        mask.unlink()
    return find_scans(tmp_path / "data")[0]


def bright(image):
    """What is bright and nearer to the marker than a ball's radius."""
    marked = image[..., 1] > np.exp(-0.5 * (1.3 * RADIUS / 3.0) ** 2)
    return np.where((image[..., 0] > 300 / 2048) & marked, 1.0, 0.0)[..., None]


def test_every_sure_vertebra_gets_its_mask_and_is_a_target(scan, tmp_path):
    path = self_label(scan, fake_network("vertebra_segmentation", bright), tmp_path / "cache")
    case = load_prepared(path)
    assert case.patient == "one"
    assert {c.label for c in case.centroids} == {label_of(name) for name in PLACES}
    assert set(np.unique(case.mask)) == {0, *map(label_of, PLACES)}
    assert ((case.mask > 0) == (case.hu > 300)).mean() > 0.995
    for centroid in case.centroids:
        i, j, k = np.rint(case.lattice.index(centroid.point)).astype(int)
        assert case.mask[k, j, i] == centroid.label
    with Image.open(tmp_path / "cache" / "one.png") as picture:
        assert picture.width > 50


def test_rejected_vertebrae_are_no_targets_and_have_no_mask(scan, tmp_path):
    network = fake_network("vertebra_segmentation", bright)
    case = load_prepared(self_label(scan, network, tmp_path, rejected={label_of("L2")}))
    assert {c.label for c in case.centroids} == {label_of("L1"), label_of("L3")}
    assert label_of("L2") not in case.mask


def test_where_the_mirror_image_is_answered_otherwise_nothing_is_kept(scan, tmp_path):
    def one_sided(image):
        answer = bright(image)
        answer[:, :, : image.shape[2] // 2] = 0.0
        return answer

    assert self_label(scan, fake_network("vertebra_segmentation", one_sided), tmp_path) is None
    assert (tmp_path / "one.png").exists()
    assert not list(tmp_path.glob("*.npz"))


def test_what_an_earlier_look_kept_goes_when_all_is_rejected(scan, tmp_path):
    network = fake_network("vertebra_segmentation", bright)
    kept = self_label(scan, network, tmp_path)
    assert kept.exists()
    assert self_label(scan, network, tmp_path, rejected=set(map(label_of, PLACES))) is None
    assert not kept.exists()


def test_no_answer_is_no_mask(scan, tmp_path):
    def nothing(image):
        return np.zeros((*image.shape[:3], 1))

    assert self_label(scan, fake_network("vertebra_segmentation", nothing), tmp_path) is None


def test_the_command_leaves_out_patients_and_rejected_vertebrae(scan, monkeypatch):
    asked = []
    network = fake_network("vertebra_segmentation", bright)
    networks = Networks(None, {"vertebra_segmentation": network}, Runtime("/CPU:0", "float32"))
    monkeypatch.setattr("verse_infer.networks.load_networks", lambda _: networks)
    monkeypatch.setattr(
        "verse_train.data.datasets.find_scans", lambda _: [scan, replace(scan, name="two")]
    )
    monkeypatch.setattr(
        "verse_train.data.pseudo_labels.self_label",
        lambda one, _, cache, wrong: asked.append((one.name, cache, wrong)),
    )
    base = ["self-label", "--data", "d", "--weights", "w", "--cache", "c", "--without", "two"]
    assert command.main([*base, "--reject", "one:L2", "one:T13"]) == 0
    ((name, _, wrong),) = asked
    assert (name, wrong) == ("one", {label_of("L2"), label_of("T13")})
    assert command.main([*base, "--reject", "one-L2"]) == 2


def test_a_scan_of_another_grid_keeps_its_hounsfield_units(scan, tmp_path):
    case = load_prepared(self_label(scan, fake_network("vertebra_segmentation", bright), tmp_path))
    assert case.lattice.spacing == (1.0, 1.0, 1.0)
    assert case.hu.max() == pytest.approx(nib.load(scan.ct).get_fdata().max(), abs=2)
