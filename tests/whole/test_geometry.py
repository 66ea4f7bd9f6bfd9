"""The same scan, stored otherwise: the same result in LPS mm, within 1 mm and Dice 0.97."""

import nibabel as nib
import pytest

from tests.helpers.geometry import (
    ORIENTATIONS,
    difference,
    padded,
    resampled,
    run_file,
    stored_on,
)

#: A turn about the head-foot axis with a mirrored file axis, and a wholly exchanged one.
SOME = (11, 37)


def check(usual, other):
    found = difference(usual, other)
    print(found)  # `make geometry` shows it
    assert not found.only_one, found
    assert found.distance_mm <= 1.0, found
    assert found.mean_dice >= 0.97, found


@pytest.mark.parametrize(
    "number",
    [n if n in SOME else pytest.param(n, marks=pytest.mark.slow) for n in range(len(ORIENTATIONS))],
)
def test_any_orientation(scan, pipeline, usual, tmp_path, number):
    nib.load(scan).as_reoriented(ORIENTATIONS[number]).to_filename(tmp_path / "turned.nii")
    check(usual, run_file(pipeline, tmp_path / "turned.nii"))


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (1.0, 1.0, 1.0), (1.3, 0.9, 1.3)])
def test_another_spacing(scan, pipeline, usual, tmp_path, spacing):
    resampled(scan, spacing, tmp_path / "other.nii")
    other = run_file(pipeline, tmp_path / "other.nii")
    print("labels on two grids:", difference(usual, other))
    check(stored_on(pipeline, scan, usual[0], other[1]), other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [((20, 20, 20), (20, 20, 20)), ((0, 13, 0), (31, 0, 7)), ((0, 60, 0), (0, 60, 0))],
)
def test_padded_with_air(scan, pipeline, usual, tmp_path, before, after):
    padded(nib.load(scan), before, after).to_filename(tmp_path / "padded.nii")
    check(usual, run_file(pipeline, tmp_path / "padded.nii"))
