"""Slices that a gantry's tilt shears: centroids lie in the voxels of their mask, the angle is the gantry's."""

import json

import nibabel as nib
import numpy as np
import pytest

from verse_infer.ct import Centroid, SourceGeometry, from_source
from verse_infer.errors import InputError
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import CONVENTIONS, read_centroids, write_centroids, write_mask
from verse_infer.flags import FlagCode
from verse_infer.grid import LARGEST_TILT_DEG, grid_geometry

SHAPE = (24, 30, 40)
#: Of a cube of 3×3×3 voxels per vertebra, the middle; i, j, k.
MIDDLES = {8: (4, 25, 37), 14: (12, 15, 20), 20: (20, 4, 2)}
SPACING = (0.7, 0.9, 2.5)
TILTS = (0.5, 1.5, 2.5, 3.0, 3.9, -3.9)


def tilted(degrees, along=1, leaning=2, axes="LPS"):
    """Affine whose file axis `leaning` leans towards `along`, in any orientation."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -80, -60, 300
    affine[along, leaning] = np.tan(np.deg2rad(degrees)) * SPACING[leaning]
    affine[:, leaning] *= SPACING[leaning] / np.linalg.norm(affine[:3, leaning])
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), affine)
    wanted = nib.orientations.axcodes2ornt(axes)
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), wanted)
    return image.as_reoriented(turn), turn


def scan(degrees, path, **how):
    """A CT of noise, and a mask on its grid with a cube per vertebra, in the file's order."""
    image, turn = tilted(degrees, **how)
    labels = np.zeros(SHAPE, np.uint8)
    for label, middle in MIDDLES.items():
        labels[tuple(slice(m - 1, m + 2) for m in middle)] = label
    stored = nib.orientations.apply_orientation(labels, turn).astype(np.uint8)
    hu = np.random.default_rng(0).integers(-1000, 1500, image.shape).astype(np.int16)
    nib.Nifti1Image(hu, image.affine).to_filename(path)
    return stored


def middle_of(mask, label):
    return np.argwhere(mask == label).mean(axis=0)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SLA"])
@pytest.mark.parametrize(("along", "leaning"), [(1, 2), (0, 2), (0, 1), (2, 1)])
@pytest.mark.parametrize("degrees", TILTS)
def test_centroids_lie_in_the_voxels_of_their_mask(tmp_path, degrees, along, leaning, axes):
    stored = scan(degrees, tmp_path / "a.nii", along=along, leaning=leaning, axes=axes)
    ct = read_ct(tmp_path / "a.nii")
    turned = from_source(stored, ct.source)
    found = [
        Centroid(label, tuple(ct.lattice.point(middle_of(turned, label)[::-1]).tolist()))
        for label in MIDDLES
    ]
    write_mask(tmp_path / "a_seg.nii.gz", turned, ct.source)
    mask = np.asarray(nib.load(tmp_path / "a_seg.nii.gz").dataobj)
    assert np.array_equal(mask, stored)
    for convention in CONVENTIONS:
        path = tmp_path / f"{convention}.json"
        write_centroids(path, found, ct.source, convention)
        read = read_centroids(path, ct.source, convention)
        for before, after in zip(found, read, strict=True):
            assert after.point == pytest.approx(before.point, abs=0.01)
    entries = json.loads((tmp_path / "verse.json").read_text())[1:]
    for entry in entries:
        place = [entry[axis] for axis in "XYZ"]
        assert place == pytest.approx(middle_of(mask, entry["label"]), abs=0.002)


@pytest.mark.parametrize("degrees", TILTS)
def test_a_file_made_by_hand_is_taken_by_its_voxels(tmp_path, degrees):
    """Its author looked at voxels; so do the mask and whoever learns from both."""
    image, _ = tilted(degrees)
    source = SourceGeometry.of(image.affine, SHAPE, image.header)
    entries = [{"label": label, **dict(zip("XYZ", m, strict=True))} for label, m in MIDDLES.items()]
    codes = [*nib.aff2axcodes(image.affine)]
    (tmp_path / "x.json").write_text(json.dumps([{"direction": codes}, *entries]))
    for centroid in read_centroids(tmp_path / "x.json", source):
        assert source.grid.file_index(centroid.point) == pytest.approx(MIDDLES[centroid.label])


@pytest.mark.parametrize("axes", ["LPS", "PIR", "SLA"])
@pytest.mark.parametrize("degrees", [0.0, 0.5, 2.0, 3.9, -3.9, 13.5, 30.0])
def test_the_angle_is_the_gantrys(degrees, axes):
    for along, leaning in ((1, 2), (0, 2), (0, 1)):
        image, _ = tilted(degrees, along, leaning, axes)
        tilt = grid_geometry(image.affine, image.shape).tilt_deg
        assert tilt == pytest.approx(abs(degrees), abs=1e-4)


def test_of_slices_that_lean_two_ways_the_angle_is_that_to_the_perpendicular():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:2, 2] = 2 * np.tan(np.deg2rad(3.0)), 2 * np.tan(np.deg2rad(4.0))
    tilt = grid_geometry(affine, SHAPE).tilt_deg
    assert tilt == pytest.approx(
        np.rad2deg(np.arctan(np.hypot(np.tan(np.deg2rad(3)), np.tan(np.deg2rad(4)))))
    )


@pytest.mark.parametrize("degrees", [0.05, 1.0, 3.9])
def test_a_tilt_that_is_taken_for_none_is_flagged_with_its_angle(tmp_path, degrees):
    scan(degrees, tmp_path / "a.nii")
    flags = {flag.code: flag.value for flag in read_ct(tmp_path / "a.nii").flags}
    assert flags[FlagCode.DIRECTION_REPAIRED] == pytest.approx(degrees, abs=0.01)


@pytest.mark.parametrize("degrees", [4.2, 6.8, 13.5, -20.0])
def test_a_larger_one_is_refused_with_its_angle(tmp_path, degrees):
    scan(degrees, tmp_path / "a.nii")
    with pytest.raises(InputError) as caught:
        read_ct(tmp_path / "a.nii")
    for part in ("a.nii", f"within {LARGEST_TILT_DEG:g}°", f"a shear of {abs(degrees):.1f}°"):
        assert part in str(caught.value)
