"""Pictures of training samples: what a network sees, what it should answer, what it answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from verse_train.config import TrainingConfig
from verse_train.sample_checks import near_targets
from verse_train.samples import Sample

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
