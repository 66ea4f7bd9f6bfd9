import numpy as np
import pytest

from verse_infer.anatomy import name_of
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids
from verse_train.data.datasets import find_scans
from verse_train.data.preparation import prepared_scan
from verse_train.synthetic import trial_scans
from verse_train.synthetic.trial_scans import KINDS, OPERATED, draw_scan, write_trial_scans

from .bodies import mean_body


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(trial_scans, "SPACINGS_MM", (3.0, 4.0))
    monkeypatch.setattr(trial_scans, "SLICES_MM", (2.0, 3.0))


def drawn(number, seed=0, atlas=None):
    return draw_scan(number, np.random.default_rng((seed, number)), atlas)


def test_scans_are_an_annotated_data_set(tmp_path):
    paths = write_trial_scans(tmp_path, 2, 7)
    scans = find_scans(tmp_path)
    assert [scan.ct for scan in scans] == paths
    for number, scan in enumerate(scans):
        anatomy, hu = drawn(number, 7)
        ct = read_ct(scan.ct)
        assert np.array_equal(ct.hu, np.clip(hu, -1024, None))
        found = read_centroids(scan.centroids, ct.source, "verse")
        assert [c.label for c in found] == [c.label for c in anatomy.centroids]
        assert np.allclose([c.point for c in found], [c.point for c in anatomy.centroids], atol=0.1)
        prepared = prepared_scan(scan, 4.0, 0.0, whole=True)
        assert {c.label for c in found} <= set(np.unique(prepared.mask).tolist())


def test_scans_that_exist_are_kept_and_a_seed_gives_one_set(tmp_path):
    (path,) = write_trial_scans(tmp_path, 1, 7)
    before = path.stat().st_mtime_ns
    assert write_trial_scans(tmp_path, 2, 7)[0].stat().st_mtime_ns == before
    again = write_trial_scans(tmp_path / "again", 1, 7)[0]
    assert np.array_equal(read_ct(again).hu, read_ct(path).hu)


def test_irregular_columns_are_shown_from_where_one_counts_to_what_differs():
    columns = {}
    for number, kind in enumerate(KINDS):
        anatomy, _ = drawn(2 * number)
        columns[kind] = {name_of(centroid.label) for centroid in anatomy.centroids}
    assert {"T12", *(f"L{i}" for i in range(1, 7))} <= columns["L6"]
    assert {*(f"T{i}" for i in range(1, 14)), "L1"} <= columns["T13"]
    assert {*(f"T{i}" for i in range(1, 12)), "L1"} <= columns["no T12"]
    assert "T12" not in columns["no T12"]
    assert {"T12", *(f"L{i}" for i in range(1, 5))} <= columns["no L5"]
    assert "L5" not in columns["no L5"]


def test_every_second_scan_shows_the_atlas(monkeypatch):
    monkeypatch.setattr(trial_scans, "invented", None)
    anatomy, hu = drawn(1, atlas=mean_body())
    assert hu.shape == anatomy.lattice.shape
    assert len(anatomy.centroids) > 1


def test_the_atlas_is_bent_to_real_spines():
    body = mean_body()
    spine = {c.label: np.asarray(c.point) * (1.0, 1.0, 1.2) for c in body.centroids}
    anatomy, _ = draw_scan(1, np.random.default_rng(0), body, [spine])
    first, last = anatomy.centroids[0].label, anatomy.centroids[-1].label
    height = height_between(anatomy, first, last)
    assert height == pytest.approx(1.2 * height_between(body, first, last), rel=0.03)


def height_between(anatomy, first, last):
    heights = {centroid.label: centroid.point[2] for centroid in anatomy.centroids}
    return heights[first] - heights[last]


def test_thick_slices_are_means_with_the_anatomy_of_the_middle_one(monkeypatch):
    rendered = []

    def render(anatomy, rng, _):
        rendered.append((anatomy, np.asarray(rng.normal(0, 50, anatomy.tissue.shape), np.int16)))
        return rendered[-1][1]

    monkeypatch.setattr(trial_scans, "render_ct", render)
    monkeypatch.setattr(trial_scans, "MERGED_SLICES", (3,))
    thick, hu = drawn(0)
    thin, values = rendered[-1]
    assert thin.lattice.size[2] == 3 * thick.lattice.size[2] == 3 * len(hu)
    assert hu[4, 5, 6] == pytest.approx(values[12:15, 5, 6].mean(), abs=0.51)
    assert np.array_equal(thick.vertebrae[4], thin.vertebrae[13])
    assert np.allclose(thick.lattice.point((6, 5, 4)), thin.lattice.point((6, 5, 13)))
    assert thick.lattice.spacing[2] == pytest.approx(3 * thin.lattice.spacing[2])


def test_operated_patients_all_have_metal():
    rng = np.random.default_rng((0, 0))
    anatomy, hu = draw_scan(0, rng, rendering=OPERATED)
    plain_anatomy, plain = drawn(0)
    assert hu.max() > plain.max() + 800
    assert anatomy.centroids == plain_anatomy.centroids
