"""Training samples: what each network sees and what it should answer.

A sample is a function of the prepared case, the configuration and a random generator, nothing else;
so a training is repeatable by its seed, and resumable.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import LABELS
from verse_infer.ct import Centroid
from verse_infer.errors import InputError
from verse_infer.grid import Lattice
from verse_infer.segmentation import gaussian
from verse_train.config import TrainingConfig
from verse_train.data.augmentation import SpatialMap, change_intensities, random_map, sample_volume
from verse_train.data.fields_of_view import (
    OUTSIDE_HU,
    around_spine,
    cut_field_of_view,
    faded,
    narrowed,
    spine_points,
    without_spine,
)
from verse_train.data.prepared import PreparedCase

Floats = NDArray[np.float32]
#: Most points near which a heatmap answer is neither right nor wrong.
MAX_IGNORED = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """One network input and its target.

    image: float32, z, y, x, c. target: by stage; spine: heatmap z, y, x, 1; segmentation: 0 or 1,
    z, y, x, 1; vertebra localisation: (26 + MAX_IGNORED, 4), per row x, y, z in voxels and 1, or 0
    where there is no such point; the last rows are points to ignore.
    """

    image: Floats
    target: Floats


def draw_sample(case: PreparedCase, config: TrainingConfig, rng: np.random.Generator) -> Sample:
    """A random sample of a case for the stage of the configuration.

    InputError if it is for stage 3 and the case has no mask or no whole vertebra.
    """
    if config.stage == "vertebra_segmentation":
        return _segmentation_sample(case, config, rng)
    case = _viewed(case, config, rng)
    lattice = Lattice.centred((0.0, 0.0, 0.0), config.spacing_mm, config.sample_size)
    points = spine_points(case)
    centre = points.mean(axis=0) if len(points) else case.lattice.corners().mean(axis=0)
    spatial = random_map(lattice, _crop_centre(case, centre, config, rng), config.augmentation, rng)
    hu = sample_volume(case.hu, case.lattice, spatial.scan_points(), order=1, outside=OUTSIDE_HU)
    image = change_intensities(hu, config.spacing_mm, config.augmentation, rng)[..., None]
    if config.stage == "spine_localisation":
        return Sample(image, _spine_heatmap(case, spatial, config.sigma)[..., None])
    return Sample(image, _landmark_rows(case, spatial))


def _viewed(case: PreparedCase, config: TrainingConfig, rng: np.random.Generator) -> PreparedCase:
    """The case as a scanner might have shown it."""
    augmentation = config.augmentation
    if augmentation.spineless and rng.random() < augmentation.spineless:
        beside = without_spine(case, rng)
        if beside is not None:
            return beside
    if augmentation.field_of_view_cuts and rng.random() < 0.5:
        case = cut_field_of_view(case, rng)
    if augmentation.spine_views and rng.random() < augmentation.spine_views:
        return around_spine(case, rng)
    return case


def _crop_centre(
    case: PreparedCase,
    centre: NDArray[np.float64],
    config: TrainingConfig,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Where the middle of the sample looks: on the spine in x and y, anywhere along it in z."""
    if config.stage == "spine_localisation":
        return np.asarray(case.lattice.corners().mean(axis=0))
    half = config.spacing_mm * config.sample_size[2] / 2
    low, high = case.lattice.corners()[:, 2].min(), case.lattice.corners()[:, 2].max()
    if high - low <= 2 * half:
        z = (low + high) / 2 + rng.uniform(-0.25, 0.25) * half
    else:
        z = rng.uniform(low + 0.8 * half, high - 0.8 * half)
    return np.array([centre[0], centre[1], z])


def _spine_heatmap(case: PreparedCase, spatial: SpatialMap, sigma: float) -> Floats:
    """Maximum of Gaussians of height 1 along the centre line, every 4 mm; z, y, x."""
    heatmap = np.zeros(spatial.lattice.shape, np.float32)
    points = spine_points(case)
    if not len(points):
        return heatmap
    inside = spatial.lattice.index(spatial.sample_points(_densely(points, 4.0)))
    axes = [np.arange(n) for n in spatial.lattice.size]
    for point in inside:
        gx, gy, gz = (
            np.exp(-0.5 * ((a - p) / sigma) ** 2).astype(np.float32)
            for a, p in zip(axes, point, strict=True)
        )
        np.maximum(heatmap, gz[:, None, None] * gy[None, :, None] * gx, out=heatmap)
    return heatmap


def _densely(points: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Points every `step` along the straight pieces between the given ones."""
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    places = np.arange(0.0, along[-1] + step, step)
    return np.stack([np.interp(places, along, points[:, d]) for d in range(3)], axis=1)


def _landmark_rows(case: PreparedCase, spatial: SpatialMap) -> Floats:
    rows = np.zeros((len(LABELS) + MAX_IGNORED, 4), np.float32)
    for centroid in case.centroids:
        rows[LABELS.index(centroid.label)] = _row(centroid, spatial)
    for i, centroid in enumerate(case.cut[:MAX_IGNORED]):
        rows[len(LABELS) + i] = _row(centroid, spatial)
    return rows


def _row(centroid: Centroid, spatial: SpatialMap) -> Floats:
    point = spatial.lattice.index(spatial.sample_points(np.array([centroid.point])))[0]
    return np.array([*point, 1.0], np.float32)


def _segmentation_sample(
    case: PreparedCase, config: TrainingConfig, rng: np.random.Generator
) -> Sample:
    if case.mask is None:
        raise InputError(f"{case.name}: expected a mask for stage 3 to learn from, found none")
    if not case.centroids:
        raise InputError(f"{case.name}: expected a whole vertebra to segment, found none")
    centroid = case.centroids[int(rng.integers(len(case.centroids)))]
    crop = config.crop(centroid.label)
    lattice = Lattice.centred((0.0, 0.0, 0.0), config.spacing_mm, crop.size)
    jitter = rng.normal(0.0, config.centroid_jitter_mm, 3)
    target = np.asarray(centroid.point) + jitter
    middle = target + crop.offset_mm
    spatial = random_map(lattice, middle, config.augmentation, rng)
    points = spatial.scan_points()
    own = (case.mask == centroid.label).astype(np.uint8)
    narrow = rng.random() < config.augmentation.narrow_views and own.any()
    shown = faded(case, rng) if rng.random() < config.augmentation.faded_bone else case
    shown = narrowed(shown, own, rng) if narrow else shown
    hu = sample_volume(shown.hu, shown.lattice, points, order=1, outside=OUTSIDE_HU)
    # Linear interpolation of the binary mask, then one half: smoother than the nearest label.
    inside = sample_volume(own, case.lattice, points, order=1, outside=0.0) > 0.5
    image = change_intensities(hu, config.spacing_mm, config.augmentation, rng)
    place = lattice.index(spatial.sample_points(target[None]))[0]
    # The marker that inference shows, by the same function.
    middle_index = (np.array(lattice.size) - 1) / 2
    marker = gaussian(lattice.size, place - middle_index, config.sigma)
    return Sample(np.stack([image, marker], axis=-1), inside.astype(np.float32)[..., None])
