"""Cut views of a written scan, and the table over results for them."""

import json

import nibabel as nib
import numpy as np
import pytest

from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids, write_centroids
from verse_infer.grid import Lattice
from verse_train.cli import main
from verse_train.data.datasets import find_scans
from verse_train.identification.cut_views import LENGTHS_MM, mask_of, write_cut_views
from verse_train.identification.naming_table import naming_table, scored_scans
from verse_train.synthetic.anatomy_map import AnatomyMap
from verse_train.synthetic.scan_files import write_scan

NAMES = ("T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")
PLANE_HU = (10 * np.arange(110) - 500).astype(np.int16)
GRID = Lattice((-20.0, -20.0, 0.0), (4.0, 4.0, 3.0), (10, 10, 110))


@pytest.fixture
def data(tmp_path):
    """A scan of ten vertebrae, 30 mm apart; each a box 24 mm high. HU tell the plane."""
    heights = [15.0 + 30 * i for i in range(len(NAMES))][::-1]
    centroids = tuple(
        Centroid(label_of(name), (0.0, 0.0, z)) for name, z in zip(NAMES, heights, strict=True)
    )
    labels = np.zeros(GRID.shape, np.uint8)
    z = 3.0 * np.arange(GRID.shape[0])
    for centroid in centroids:
        labels[np.abs(z - centroid.point[2]) < 12, 3:7, 3:7] = centroid.label
    hu = np.broadcast_to(PLANE_HU[:, None, None], GRID.shape).copy()
    anatomy = AnatomyMap(np.zeros(GRID.shape, np.uint8), labels, centroids, (), GRID)
    write_scan(tmp_path / "data", "sub-one", anatomy, hu)
    return tmp_path / "data"


def views_of(data, output, **options):
    (scan,) = find_scans(data)
    return write_cut_views(scan, output, options.pop("count", 6), options.pop("seed", 3), **options)


def test_views_are_parts_of_the_scan_with_its_coordinates(data, tmp_path):
    paths = views_of(data, tmp_path / "views")
    assert len(paths) == 6
    for path in paths:
        part = read_ct(path)
        first = int(np.flatnonzero(part.hu[0, 0, 0] == PLANE_HU)[0])
        assert part.lattice.corners()[:, 2].min() == pytest.approx(3.0 * first)
        assert (part.hu[:, 0, 0] == PLANE_HU[first : first + len(part.hu)]).all()
        length = 3.0 * len(part.hu)
        assert LENGTHS_MM[0] - 3 <= length <= LENGTHS_MM[1] + 3


def test_vertebrae_are_whole_where_their_mask_lies_in_the_view(data, tmp_path):
    (scan,) = find_scans(data)
    views_of(data, tmp_path / "views", mask=scan.mask)
    for view in find_scans(tmp_path / "views"):
        part = read_ct(view.ct)
        bottom, top = part.lattice.corners()[:, 2].min(), part.lattice.corners()[:, 2].max()
        whole = {c.label: c.point[2] for c in read_centroids(view.centroids, part.source, "verse")}
        cut = {c.label: c.point[2] for c in read_centroids(view.cut, part.source, "verse")}
        assert all(bottom <= z - 10.6 and z + 10.6 <= top for z in whole.values())
        assert all(bottom <= z <= top for z in cut.values())
        assert all(z - bottom < 12 or top - z < 12 for z in cut.values())
        assert len(whole) + len(cut) >= 3


def test_without_masks_the_distance_to_the_cut_decides(data, tmp_path):
    views_of(data, tmp_path / "views")
    for view in find_scans(tmp_path / "views"):
        part = read_ct(view.ct)
        z = part.lattice.corners()[:, 2]
        for c in read_centroids(view.centroids, part.source, "verse"):
            assert min(c.point[2] - z.min(), z.max() - c.point[2]) >= 27 - 1e-3


def test_the_same_seed_gives_the_same_views(data, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        views_of(data, tmp_path / name, seed=seed)
    shapes = {
        name: [nib.load(s.ct).affine[:3, 3].tolist() for s in find_scans(tmp_path / name)]
        for name in "abc"
    }
    assert shapes["a"] == shapes["b"] != shapes["c"]


def test_masks_of_the_container_are_found_by_the_scans_name(data, tmp_path):
    (scan,) = find_scans(data)
    place = tmp_path / "out" / "rawdata" / "sub-one" / "sub-one_seg-vert_msk.nii.gz"
    place.parent.mkdir(parents=True)
    place.touch()
    assert mask_of(scan, tmp_path / "out") == place
    assert mask_of(scan, tmp_path / "data" / "rawdata") is None


def test_the_table_counts_names_and_scans_and_completeness(data, tmp_path, capsys):
    """T8 is called T9 and so on in one scan; in the other all are right but L5, which is left out."""
    anatomy_source = find_scans(data)[0]
    ct = read_ct(anatomy_source.ct)
    truth = read_centroids(anatomy_source.centroids, ct.source, "verse")
    out = tmp_path / "out" / "derivatives" / "sub-one"
    out.mkdir(parents=True)
    answer = [c for c in truth if c.label != label_of("L5")]
    write_centroids(out / "sub-one_seg-subreg_ctd.json", answer, ct.source, "verse")
    (scan,) = scored_scans(data, tmp_path / "out")
    assert (scan.anchors, scan.right, scan.empty) == ("T12 S1", False, False)
    assert scan.thickness_mm == pytest.approx(3.0)
    text = naming_table([scan])
    assert "lumbar" in text
    assert "9/10 90.0 %" in text
    assert "0/1 0.0 %" in text
    assert "over 300 mm" in text
    assert "up to 4 mm" in text
    assert "mean distance 0.00 mm" in text
    assert "whole 9/10 90.0 %" in text
    assert main(["naming-table", "--truth", str(data), "--output", str(tmp_path / "out")]) == 0
    assert "9/10" in capsys.readouterr().err


def test_the_command_writes_views(data, tmp_path):
    code = main(["cut-views", "--data", str(data), "--count", "2", "--output", str(tmp_path / "v")])
    assert code == 0
    views = find_scans(tmp_path / "v")
    assert len(views) == 2
    assert all(json.loads(view.centroids.read_text())[0]["direction"] for view in views)
