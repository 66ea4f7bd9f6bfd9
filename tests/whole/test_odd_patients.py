"""Scans that are sound files but no usual patients: an honest answer, or a flag, by the networks."""

import json

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.bad_inputs import BAD_INPUTS, REFUSED
from tests.helpers.geometry import difference, run_file
from verse_infer.flags import FlagCode

pytestmark = pytest.mark.slow
METAL_HU = 20000
NOTHING = {FlagCode.NO_SPINE, FlagCode.NO_VERTEBRAE}
UNSURE = NOTHING | {FlagCode.FEW_VERTEBRAE, FlagCode.LOW_RESPONSE}
TURNED = {FlagCode.SPINE_IN_FRONT, FlagCode.SPINE_BESIDE, FlagCode.VERTEBRAE_SHRINK}


def altered(scan, target, change):
    """The scan with other voxels under the same header; change: of an array R, A, S."""
    image = nib.as_closest_canonical(nib.load(scan))
    nib.Nifti1Image(change(np.asarray(image.dataobj)), image.affine).to_filename(target)
    return target


def cylinder_of_water(values):
    """A phantom for quality checks: water of 20 cm in air, with noise."""
    i, j = np.ogrid[: values.shape[0], : values.shape[1]]
    inside = (i - values.shape[0] / 2) ** 2 + (j - values.shape[1] / 2) ** 2 < 100**2
    noise = np.random.default_rng(0).normal(0, 15, values.shape)
    return (np.where(inside[..., None], 0, -1000) + noise).astype(np.int16)


@pytest.mark.parametrize(
    "change",
    [lambda values: values[:80], lambda values: values[:, -110:], cylinder_of_water],
    ids=["right side only", "front only", "water phantom"],
)
def test_a_spine_out_of_view_is_flagged(scan, pipeline, tmp_path, change):
    result, _ = run_file(pipeline, altered(scan, tmp_path / "x.nii", change))
    print(result.flags, result.centroids)
    assert {flag.code for flag in result.flags} & UNSURE
    assert len(result.centroids) <= 1


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values[:, :, ::-1],
        lambda values: values[:, ::-1, ::-1],
        lambda values: values[:, ::-1],
        lambda values: np.rot90(values, axes=(0, 1)),
        lambda values: np.rot90(values, axes=(1, 0)),
        lambda values: np.rot90(values, axes=(0, 2)),
        lambda values: np.rot90(values, axes=(1, 2)),
    ],
    ids=["slices reversed", "head down", "back in front", "left", "right", "x is z", "y is z"],
)
def test_a_patient_whom_the_header_turns_is_flagged(scan, pipeline, tmp_path, change):
    result, _ = run_file(pipeline, altered(scan, tmp_path / "x.nii", change))
    print(result.flags, [c.label for c in result.centroids])
    assert {flag.code for flag in result.flags} & (UNSURE | TURNED)


def test_screws_of_metal_cost_no_vertebra(scan, pipeline, usual, tmp_path):
    """Two rods of 6 mm along the spine, 18 mm beside it and 15 mm behind, of 20,000 HU."""
    points = np.array([c.point for c in usual[0].centroids]) * (-1, -1, 1)  # LPS to RAS

    def with_rods(values):
        affine = nib.as_closest_canonical(nib.load(scan)).affine
        x, y, z = (affine[a, a] * np.arange(values.shape[a]) + affine[a, 3] for a in range(3))
        order = np.argsort(points[:, 2])
        middle_x, middle_y = (np.interp(z, points[order, 2], points[order, a]) for a in (0, 1))
        values = values.copy()
        for side in (-18, 18):
            apart = np.hypot(x[:, None, None] - middle_x - side, y[None, :, None] - middle_y + 15)
            values[apart < 3] = METAL_HU
        return values

    found = difference(usual, run_file(pipeline, altered(scan, tmp_path / "x.nii", with_rods)))
    print(found)
    assert not found.only_one
    assert found.distance_mm < 5


def test_nothing_is_found_in_the_corpus_of_bad_inputs(run_command, tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for item in BAD_INPUTS:
        item.write(source / item.name)
    process = run_command("--input", source, "--output", output, "--memory-gib", 4)
    assert process.returncode == 3, process.stderr
    assert "Traceback" not in process.stderr
    cases = {case["input"]: case for case in json.loads((output / "run.json").read_text())["cases"]}
    for item in BAD_INPUTS:
        case = cases[item.name]
        assert (case["status"] == "failed") == (item.outcome == REFUSED), case
        if case["status"] == "succeeded":
            assert case["vertebrae"] == []
            assert {flag["code"] for flag in case["flags"]} & NOTHING
