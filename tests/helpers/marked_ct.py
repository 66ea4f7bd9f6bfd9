"""A CT whose vertebrae are bright balls, and networks that tell them by their HU."""

import numpy as np

from tests.helpers.fake_networks import fake_networks
from verse_infer.anatomy import LABELS, label_of
from verse_infer.ct import Ct
from verse_infer.grid import Lattice

GRID = Lattice((-60.0, -60.0, 0.0), (2.0, 2.0, 2.0), (60, 60, 90))
LEVELS = {"T12": (0.0, 0.0, 140.0), "L1": (0.0, 2.0, 108.0), "L2": (1.0, 4.0, 74.0)}


def marked_ct():
    """A CT in which every vertebra is a bright ball whose HU tells its level."""
    # As measured air is: constant planes would count as padding.
    hu = np.random.default_rng(0).integers(-1001, -998, GRID.shape).astype(np.int16)
    k, j, i = np.indices(GRID.shape)
    points = GRID.point(np.stack([i, j, k], axis=-1))
    for number, point in enumerate(LEVELS.values()):
        hu[np.linalg.norm(points - point, axis=-1) < 8] = 500 * (number + 1)
    return Ct(hu, GRID)


def heat_from_hu(image):
    """One heatmap per level: near 1 in the middle of the balls of that level's HU."""
    import scipy.ndimage

    out = np.zeros((*image.shape[:3], len(LABELS)), np.float32)
    for number, name in enumerate(LEVELS):
        own = np.abs(image[..., 0] * 2048 - 500 * (number + 1)) < 100
        out[..., LABELS.index(label_of(name))] = scipy.ndimage.gaussian_filter(
            own.astype(np.float32), 2.0
        )
    return out / max(out.max(), 1e-6)


def networks(spine=lambda image: (image > -0.2).astype(float)):
    return fake_networks(
        spine_localisation=spine,
        vertebra_localisation=heat_from_hu,
        vertebra_segmentation=lambda image: (image[..., :1] > 0).astype(float),
    )
