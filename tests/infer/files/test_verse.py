import gzip
import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verse_infer.ct import Centroid, SourceGeometry, from_source
from verse_infer.errors import CentroidFileError
from verse_infer.files.verse import CONVENTIONS, read_centroids, write_centroids, write_mask

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"
CENTROIDS = (
    Centroid(1, (3.25, -41.5, 812.125)),
    Centroid(19, (-7.0, 5.75, 640.0)),
    Centroid(28, (0.1, 0.2, 611.3)),
)


def geometry(axes="RAS", angle=0.2, shape=(30, 40, 50), spacing=(0.7, 0.8, 2.5)):
    c, s = np.cos(angle), np.sin(angle)
    base = np.eye(4)
    base[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(spacing)
    base[:3, 3] = -12, 30, 400
    wanted = nib.orientations.axcodes2ornt(axes)
    turn = nib.orientations.ornt_transform(nib.io_orientation(base), wanted)
    image = nib.Nifti1Image(np.zeros(shape, np.int16), base).as_reoriented(turn)
    return SourceGeometry.of(image.affine, image.shape, image.header)


ALL_AXES = [
    "".join(codes)
    for order in itertools.permutations(["RL", "AP", "SI"])
    for codes in itertools.product(*order)
]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("axes", ALL_AXES)
def test_written_centroids_read_back_on_all_48_orientations(tmp_path, axes, convention):
    source = geometry(axes)
    path = tmp_path / "x_ctd.json"
    write_centroids(path, CENTROIDS, source, convention)
    read = read_centroids(path, source, convention)
    assert [c.label for c in read] == [1, 19, 28]
    for before, after in zip(CENTROIDS, read, strict=True):
        assert after.point == pytest.approx(before.point, abs=0.005)


point = st.tuples(*[st.floats(-2000, 2000)] * 3)


@settings(max_examples=40, deadline=None)
@given(st.lists(point, max_size=5), st.sampled_from(CONVENTIONS), st.sampled_from(ALL_AXES))
def test_any_points_survive(tmp_path_factory, points, convention, axes):
    path = tmp_path_factory.mktemp("c") / "x_ctd.json"
    centroids = [Centroid(20 + i, p) for i, p in enumerate(points)]
    source = geometry(axes)
    write_centroids(path, centroids, source, convention)
    read = read_centroids(path, source, convention)
    for before, after in zip(centroids, read, strict=True):
        assert after.point == pytest.approx(before.point, abs=0.005)


def test_conventions_count_from_the_corners_the_challenges_state(tmp_path):
    # A 1 mm grid in LPS, 10 × 20 × 30 voxels; the point is voxel x=2, y=5, z=8 (left, back, up).
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    source = SourceGeometry.of(affine, (10, 20, 30), nib.Nifti1Header())
    expected = {
        # from the superior, anterior, right corner: down, back, left
        "verse19": {"X": 21.0, "Y": 5.0, "Z": 2.0},
        # from the anterior, superior, left corner: back, down, right
        "verse20": {"X": 5.0, "Y": 21.0, "Z": 7.0},
        "verse": {"X": 2.0, "Y": 5.0, "Z": 8.0},
    }
    for convention, place in expected.items():
        path = tmp_path / f"{convention}.json"
        write_centroids(path, [Centroid(20, (2.0, 5.0, 8.0))], source, convention)
        entries = json.loads(path.read_text())
        assert entries[-1] == {"label": 20, **place}
        if convention == "verse":
            assert entries[0] == {"direction": ["L", "P", "S"]}


MALFORMED = {
    "no json": "{",
    "no list": '{"label": 1}',
    "no direction": '[{"label": 1, "X": 1, "Y": 2, "Z": 3}]',
    "bad direction": '[{"direction": ["P", "A", "R"]}]',
    "unknown label": '[{"direction": ["P", "I", "R"]}, {"label": 29, "X": 1, "Y": 2, "Z": 3}]',
    "label 0": '[{"direction": ["P", "I", "R"]}, {"label": 0, "X": 1, "Y": 2, "Z": 3}]',
    "half a label": '[{"direction": ["P", "I", "R"]}, {"label": 20.5, "X": 1, "Y": 2, "Z": 3}]',
    "a name": '[{"direction": ["P", "I", "R"]}, {"label": "L1", "X": 1, "Y": 2, "Z": 3}]',
    "true": '[{"direction": ["P", "I", "R"]}, {"label": true, "X": 1, "Y": 2, "Z": 3}]',
    "no number": '[{"direction": ["P", "I", "R"]}, {"label": 20, "X": null, "Y": [2], "Z": 3}]',
    "two directions": '[{"direction": ["P", "I", "R"]}, {"direction": ["L", "P", "S"]}]',
    "missing Z": '[{"direction": ["P", "I", "R"]}, {"label": 20, "X": 1, "Y": 2}]',
    "not finite": '[{"direction": ["P", "I", "R"]}, {"label": 20, "X": 1, "Y": 2, "Z": NaN}]',
    "twice": '[{"direction": ["P", "I", "R"]}, {"label": 20, "X": 1, "Y": 2, "Z": 3},'
    ' {"label": 20, "X": 1, "Y": 2, "Z": 3}]',
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_files_are_refused_by_name(tmp_path, kind):
    path = tmp_path / "x.json"
    path.write_text(MALFORMED[kind])
    with pytest.raises(CentroidFileError, match=r"x\.json"):
        read_centroids(path, geometry(), "verse")


def test_convention_is_told_by_direction_or_name(tmp_path):
    source = geometry()
    for name, convention in {
        "a_seg-subreg_ctd.json": "verse",
        "a_ctd.json": "verse19",
        "a_iso-ctd.json": "verse20",
    }.items():
        write_centroids(tmp_path / name, CENTROIDS, source, convention)
        read = read_centroids(tmp_path / name, source)
        assert read[0].point == pytest.approx(CENTROIDS[0].point, abs=0.005)
    (tmp_path / "centroids.json").write_text((tmp_path / "a_ctd.json").read_text())
    with pytest.raises(CentroidFileError, match="convention"):
        read_centroids(tmp_path / "centroids.json", source)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SLA"])
@pytest.mark.parametrize("codes", [(1, 0), (0, 2), (1, 2)])
def test_mask_has_its_sources_grid_and_header(tmp_path, axes, codes):
    source = geometry(axes)
    image = nib.Nifti1Image(np.zeros(source.shape, np.int16), source.affine)
    image.set_qform(source.affine, codes[0])
    image.set_sform(source.affine, codes[1])
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(2.0, 0.0)
    image.header["descrip"] = b"secret name"
    image.to_filename(tmp_path / "ct.nii")
    ct = nib.load(tmp_path / "ct.nii")
    source = SourceGeometry.of(ct.affine, ct.shape, ct.header)
    stored = np.random.default_rng(0).integers(0, 26, ct.shape).astype(np.uint8)
    write_mask(tmp_path / "m.nii.gz", from_source(stored, source), source)
    mask = nib.load(tmp_path / "m.nii.gz")
    assert np.array_equal(mask.affine, ct.affine)
    assert np.array_equal(np.asarray(mask.dataobj), stored)
    assert mask.get_data_dtype() == np.uint8
    for field in ("sform_code", "qform_code", "xyzt_units"):
        assert mask.header[field] == ct.header[field]
    assert np.array_equal(mask.header["pixdim"], ct.header["pixdim"])
    assert np.array_equal(mask.get_qform(), ct.get_qform())


def test_the_same_mask_gives_the_same_bytes(tmp_path):
    source = geometry()
    mask = np.zeros((50, 40, 30), np.uint8)
    mask[3:8] = 20
    for name in ("a.nii.gz", "b.nii.gz"):
        write_mask(tmp_path / name, from_source(to_file(mask, source), source), source)
    first, second = ((tmp_path / n).read_bytes() for n in ("a.nii.gz", "b.nii.gz"))
    assert first == second
    assert len(gzip.decompress(first)) == 352 + 30 * 40 * 50


def to_file(mask, source):
    return np.ascontiguousarray(np.resize(mask, source.shape))


def test_a_failed_write_leaves_nothing(tmp_path):
    source = geometry()
    with pytest.raises(ValueError, match="JSON"):
        write_centroids(tmp_path / "x.json", [Centroid(20, (0, 0, float("nan")))], source, "verse")
    with pytest.raises(IndexError):
        write_mask(tmp_path / "x.nii.gz", np.zeros((2, 2), np.uint8), source)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["sub-verse004", "sub-verse010"])
def test_official_centroids_lie_in_their_vertebrae(name):
    folder = SHARED / "masks" / name
    if not folder.is_dir():
        pytest.skip("real data absent")
    image = nib.load(folder / f"{name}_seg-vert_msk.nii.gz")
    source = SourceGeometry.of(image.affine, image.shape, image.header)
    mask = from_source(np.asarray(image.dataobj).astype(int), source)
    centroids = read_centroids(folder / f"{name}_seg-subreg_ctd.json", source)
    assert len(centroids) >= 5
    for centroid in centroids:
        i, j, k = np.rint(source.grid.lattice.index(centroid.point)).astype(int)
        assert mask[k, j, i] == centroid.label
