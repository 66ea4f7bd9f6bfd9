"""Prepared cases whose content can be told from any voxel."""

from dataclasses import replace

import numpy as np

from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_infer.weights import STAGES
from verse_train.data.prepared import PreparedCase
from verse_train.sizes import NetworkSize

BACKGROUND_HU, VERTEBRA_HU = -200, 800
#: Small and fast; the depths of the real ones, two filters a level.
TINY = NetworkSize(
    name="tiny", filters=(2, 2, 2), spatial_filters=2, leaky=0.1, normalised=True, heatmaps="shares"
)
TINY_TRANSPOSED = replace(TINY, name="tiny transposed", transposed=STAGES)
TINY_PLAIN = replace(TINY, name="tiny plain", leaky=0.0, normalised=False, heatmaps="product")
#: One level.
LEAST = replace(TINY, name="least", filters=(2,))


def ball_case(
    names=("T11", "T12", "L1", "L2", "L3"),
    spacing=4.0,
    size=(24, 22, 44),
    radius=9.0,
    name="balls",
    cut=(),
):
    """A column of bright balls, 30 mm apart, each in the middle of its vertebra's mask.

    cut: names of vertebrae that are no targets.
    """
    lattice = Lattice.centred((5.0, -10.0, 300.0), spacing, size)
    middle = (len(names) - 1) / 2
    centroids = [
        Centroid(label_of(n), (5.0 + 2.0 * i, -10.0 + 3.0 * i, 300.0 + 30.0 * (middle - i)))
        for i, n in enumerate(names)
    ]
    points = voxel_points(lattice)
    mask = np.zeros(lattice.shape, np.uint8)
    for centroid in centroids:
        mask[np.linalg.norm(points - centroid.point, axis=-1) < radius] = centroid.label
    hu = np.where(mask > 0, VERTEBRA_HU, BACKGROUND_HU).astype(np.int16)
    cut_labels = {label_of(n) for n in cut}
    return PreparedCase(
        name,
        name,
        hu,
        mask,
        tuple(c for c in centroids if c.label not in cut_labels),
        tuple(c for c in centroids if c.label in cut_labels),
        lattice,
    )


def voxel_points(lattice):
    """LPS mm of every voxel centre; z, y, x, 3."""
    k, j, i = np.indices(lattice.shape)
    return lattice.point(np.stack([i, j, k], axis=-1))
