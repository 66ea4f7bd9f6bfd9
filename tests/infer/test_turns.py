"""Two files of one case: the same voxels in any of 48 orientations, or another grid, which is refused."""

import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from verse_infer.ct import SourceGeometry, turn_onto

SHAPE = (5, 6, 7)
VALUES = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)
ORIENTATIONS = [
    np.array(list(zip(axes, flips, strict=True)), float)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


def oblique(spacing=(0.7, 0.8, 2.5), degrees=12.0, lean=0.0):
    """A CT's affine: turned about z and x, its slices sheared where lean is not 0."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing)
    affine[:3, 2] += lean * affine[:3, 1]
    affine[:3, 3] = -120, 80, 400
    return affine


def grid(affine, shape=SHAPE, header=None):
    return SourceGeometry.of(np.asarray(affine, float), tuple(shape), header)


CT = grid(oblique())


@pytest.mark.parametrize("lean", [0.0, 0.03])
@pytest.mark.parametrize("turned", ORIENTATIONS)
@pytest.mark.parametrize("stored", [ORIENTATIONS[0], ORIENTATIONS[21], ORIENTATIONS[37]])
def test_the_same_voxels_meet_in_all_orientations(stored, turned, lean):
    image = nib.Nifti1Image(VALUES, oblique(lean=lean))
    ct, mask = image.as_reoriented(stored), image.as_reoriented(turned)
    turn = turn_onto(grid(mask.affine, mask.shape), grid(ct.affine, ct.shape))
    assert np.array_equal(turn.applied(np.asarray(mask.dataobj)), np.asarray(ct.dataobj))


@pytest.mark.parametrize("rounding", [1e-6, 1e-4, 1e-3])
def test_headers_may_be_rounded(rounding):
    noise = np.random.default_rng(0).uniform(-rounding, rounding, (4, 4))
    noise[3] = 0
    turn = turn_onto(grid(CT.affine + noise), CT)
    assert np.array_equal(turn.applied(VALUES), VALUES)


def moved(mm, axis=0):
    affine = oblique()
    affine[axis, 3] += mm
    return grid(affine)


OTHERS = {
    "half a voxel away": moved(0.35),
    "a voxel away": moved(0.8, 1),
    "a slice away": moved(-2.5, 2),
    "elsewhere": moved(1000.0),
    "no place stated": grid(np.eye(4)),
    "other spacing": grid(oblique((0.7, 0.8, 3.0))),
    "twice as coarse": grid(oblique((1.4, 1.6, 5.0))),
    "one slice less": grid(oblique(), (5, 6, 6)),
    "other angle": grid(oblique(degrees=25.0)),
    "sheared": grid(oblique(lean=0.2)),
    "mirrored, as the header says": grid(oblique() @ np.diag([-1.0, 1.0, 1.0, 1.0])),
    "axes of other lengths swapped": grid(oblique()[:, [1, 0, 2, 3]], (5, 6, 7)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_grids_are_refused_with_both_grids(kind):
    with pytest.raises(ValueError, match=r"expected 5×6×7 voxels of 0\.7×0\.8×2\.5 mm") as caught:
        turn_onto(OTHERS[kind], CT)
    shape = "×".join(map(str, OTHERS[kind].shape))
    assert f"got {shape} voxels of " in str(caught.value)


def test_where_a_ct_contradicts_itself_a_mask_may_go_by_its_qform():
    """ITK goes by the qform where nibabel goes by the sform."""
    header = nib.Nifti1Header()
    by_distance, by_thickness = oblique(), oblique((0.7, 0.8, 10 / 3))
    header.set_qform(by_distance, 1)
    header.set_sform(by_thickness, 1)
    ct = grid(by_thickness, header=header)
    for affine in (by_distance, by_thickness):
        assert np.array_equal(turn_onto(grid(affine), ct).applied(VALUES), VALUES)
    with pytest.raises(ValueError, match="expected"):
        turn_onto(moved(30.0), ct)


@pytest.mark.parametrize("thickness", [1.0, 4 / 3])
@pytest.mark.parametrize("stored", [ORIENTATIONS[0], ORIENTATIONS[21], ORIENTATIONS[37]])
def test_masks_that_an_itk_program_saved_meet_their_ct(tmp_path, stored, thickness):
    """Slicer and the like; they go by the qform of a CT whose sform says otherwise."""
    image = nib.Nifti1Image(VALUES, oblique()).as_reoriented(stored)
    by_thickness = image.affine.copy()
    by_thickness[:3, 2] *= thickness
    image.set_qform(image.affine, 1)
    image.set_sform(by_thickness, 1)
    image.to_filename(tmp_path / "ct.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "ct.nii.gz")), str(tmp_path / "mask.nii.gz"))
    ct, mask = (nib.load(tmp_path / name) for name in ("ct.nii.gz", "mask.nii.gz"))
    turn = turn_onto(*(grid(one.affine, one.shape, one.header) for one in (mask, ct)))
    assert np.array_equal(turn.applied(np.asarray(mask.dataobj)), np.asarray(ct.dataobj))
