"""40 scans of 512×512×600 voxels with 15 vertebrae each in under 10 minutes on 2 cores."""

import time

import numpy as np
import pytest

from tests.helpers.scenes import affine_of, save_centroids, save_mask
from verse_eval.measures import MEASURES
from verse_eval.scoring import score_folders
from verse_infer.anatomy import LABELS

SHAPE = (512, 512, 600)
SPACING_MM = 0.75
#: Two cores for ten minutes, shared by 40 scans: processor seconds for one.
CPU_SECONDS = 2 * 600 / 40


def vertebra(shape):
    """About a lumbar vertebra: an ellipsoid with a rough surface and a hole."""
    z, y, x = (np.linspace(-1, 1, n) for n in shape)
    radius = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)
    roughness = np.random.default_rng(0).uniform(0.85, 1.0, shape)
    return (radius < roughness) & (radius > 0.2)


@pytest.mark.slow
def test_a_large_scan_is_scored_in_its_share_of_the_time(tmp_path):
    shape = vertebra((110, 120, 48))
    for folder, shift in (("reference", 0), ("prediction", 2)):
        labels = np.zeros(SHAPE, np.uint8)
        points = {}
        for i, label in enumerate(LABELS[7:22]):
            corner = (200 + shift, 200, 39 * (14 - i))
            part = tuple(slice(c, c + n) for c, n in zip(corner, shape.shape, strict=True))
            labels[part][shape & (labels[part] == 0)] = label
            points[label] = tuple(c + n / 2 for c, n in zip(corner, shape.shape, strict=True))
        save_mask(tmp_path / folder / "big_seg.nii.gz", labels, affine_of("RAS", (SPACING_MM,) * 3))
        save_centroids(tmp_path / folder / "big_ctd.json", points, "RAS")
    started = time.process_time()
    scores = score_folders("t", tmp_path / "reference", tmp_path / "prediction")
    assert time.process_time() - started < CPU_SECONDS
    (scan,) = scores.scans
    assert len(scan.vertebrae) == 15
    assert MEASURES["d_mean_mm"].of(scan) == pytest.approx(2 * SPACING_MM)
