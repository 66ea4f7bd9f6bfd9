"""Are the samples of a training sane? Looked at once, before hours are spent on them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import LABELS
from verse_infer.errors import InputError
from verse_train.config import TrainingConfig
from verse_train.samples import Sample

Mask = NDArray[np.bool_]
#: Where a target counts as "at a vertebra": the share of a heatmap's height.
NEAR = 0.5
#: Radius in voxels around a landmark that counts as at the vertebra.
LANDMARK_RADIUS = 3.0
#: HU / 2048 lies in [-1, 1]; augmentation scales and shifts it a little.
LARGEST_VALUE = 3.0
#: Below it, nothing but air: HU / 2048.
AIR = -0.4


def check_samples(samples: Sequence[Sample], config: TrainingConfig) -> None:
    """InputError for pictures that no network can learn from.

    Such are: values that are not finite or not HU / 2048; pictures of one value; no target in any
    of them; and vertebrae that are on average no brighter than the tissue around them, which
    shifted, mirrored or foreign annotations look like.
    """
    contrasts = []
    for number, sample in enumerate(samples):
        image = sample.image[..., 0]
        _check_image(image, number)
        near = near_targets(sample, config)
        tissue = (image > AIR) & ~near
        if near.any() and tissue.any():
            contrasts.append(float(image[near].mean() - image[tissue].mean()))
    if not contrasts:
        raise InputError(
            f"{config.stage}: expected vertebrae in the samples, found none in {len(samples)}"
        )
    if np.median(contrasts) <= 0:
        raise InputError(
            f"{config.stage}: expected annotated vertebrae brighter than other tissue, they are "
            f"{-2048 * np.median(contrasts):.0f} HU darker; do the annotations fit the scans?"
        )


def near_targets(sample: Sample, config: TrainingConfig) -> Mask:
    """Voxels of a sample that its targets lie on; z, y, x."""
    if config.stage != "vertebra_localisation":
        return np.asarray(sample.target[..., 0] > NEAR)
    depth, rows, columns, _ = sample.image.shape
    near = np.zeros((depth, rows, columns), bool)
    k, j, i = np.arange(depth)[:, None, None], np.arange(rows)[:, None], np.arange(columns)
    for x, y, z, present in sample.target[: len(LABELS)].tolist():
        if present:
            near |= (k - z) ** 2 + (j - y) ** 2 + (i - x) ** 2 <= LANDMARK_RADIUS**2
    return near


def _check_image(image: NDArray[np.float32], number: int) -> None:
    if not np.isfinite(image).all():
        raise InputError(f"sample {number}: expected finite values, found NaN or infinite ones")
    if np.abs(image).max() > LARGEST_VALUE:
        raise InputError(
            f"sample {number}: expected HU / 2048 of about -1 to 1, found {np.abs(image).max():.3g}"
        )
    if np.ptp(image) == 0:
        raise InputError(f"sample {number}: expected a picture, every voxel is {image.flat[0]:.3g}")
