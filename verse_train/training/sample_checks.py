"""Are the samples of a training sane? Checked and drawn once, before hours are spent on them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verse_infer.anatomy import LABELS
from verse_infer.errors import InputError
from verse_train.config import TrainingConfig
from verse_train.data.samples import Sample

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


Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
#: Shown from black to white, HU / 2048: -250 to 750 HU.
WINDOW = (-0.12, 0.37)
TARGET_COLOUR = (80.0, 200.0, 255.0)
RESPONSE_COLOUR = (255.0, 90.0, 60.0)
OPACITY = 0.6
GAP = 4


def draw_samples(
    samples: Sequence[Sample],
    config: TrainingConfig,
    responses: Sequence[Floats] | None = None,
) -> Image.Image:
    """One row per sample, head up: sagittal and coronal through its targets, bare and coloured.

    Targets are blue, responses (0 to 1; z, y, x each) red; colours are the largest value across
    the picture's depth. Sagittal pictures look from the patient's left, anterior on the left.
    """
    rows = []
    for number, sample in enumerate(samples):
        near = near_targets(sample, config)
        response = None if responses is None else responses[number]
        rows.append(_row(sample.image[..., 0], near, response))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0))) for row in rows]
    return Image.fromarray(np.concatenate(padded))


def _row(image: Floats, near: NDArray[np.bool_], response: Floats | None) -> Picture:
    _, y, x = (
        np.argwhere(near).mean(axis=0).astype(int) if near.any() else np.array(near.shape) // 2
    )
    views = []
    for plane, axis in ((image[:, :, x], 2), (image[:, y, :], 1)):
        grey = np.clip((plane - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1) * 255
        bare = np.repeat(grey[..., None], 3, axis=-1)
        coloured = _coloured(bare, near.max(axis=axis).astype(np.float32), TARGET_COLOUR)
        views += [bare, coloured]
        if response is not None:
            views.append(_coloured(bare, response.max(axis=axis), RESPONSE_COLOUR))
    gap = np.zeros((len(image), GAP, 3))
    # Rows run from the feet up in z, y, x order; pictures from the top down.
    strip = np.concatenate([part for view in views for part in (view, gap)], axis=1)[::-1]
    return np.asarray(strip.round(), np.uint8)


def _coloured(bare: Floats, amount: Floats, colour: tuple[float, float, float]) -> Floats:
    weight = OPACITY * np.clip(amount, 0, 1)[..., None]
    return np.asarray(bare * (1 - weight) + weight * np.array(colour), np.float32)
