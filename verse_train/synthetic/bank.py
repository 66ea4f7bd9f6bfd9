"""Synthetic scans as prepared cases: a bank drawn once, from which trainings take their samples."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_eval.grids import read_label_map
from verse_infer.ct import Centroid
from verse_infer.files.verse import read_centroids
from verse_infer.grid import Lattice
from verse_infer.weights import Stage
from verse_train.data.datasets import patient_of
from verse_train.data.prepared import PreparedCase, save_prepared
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.bending import Configuration, bent_at_random
from verse_train.synthetic.donor import Donor, donor_from
from verse_train.synthetic.rendering import TRAINING, RenderOptions, render_ct
from verse_train.synthetic.spine_curve import REGULAR_KIND, random_kind
from verse_train.synthetic.views import VIEWS, cut_out, invented, nearest_indices, picked

#: Spacing of the bank and the size of a scan (x, y) for each stage; z is drawn for each scan, mm.
_LATTICES: dict[Stage, tuple[float, tuple[int, int], tuple[float, float]]] = {
    "spine_localisation": (4.0, (100, 80), (100.0, 700.0)),
    "vertebra_localisation": (2.0, (120, 120), (80.0, 480.0)),
    "vertebra_segmentation": (1.0, (150, 150), (110.0, 150.0)),
    "vertebra_identification": (2.0, (120, 120), (80.0, 480.0)),
}
#: Some patients were operated on, and half lie on a table that is in view.
_FURNISHED = replace(TRAINING, metal=0.1, cement=0.08, table=0.5)
#: In 13 real scans the side walls of the bodies are 60 to 340 HU denser than their middle at 2 mm (half
#: of the scans below 100), and 70 to 325 at 1 mm; voxels that are all cortex made that 150 to 770.
_RENDERING: dict[Stage, RenderOptions] = {
    "spine_localisation": replace(_FURNISHED, cortex_share=(0.02, 0.3)),
    "vertebra_localisation": replace(_FURNISHED, cortex_share=(0.05, 0.6)),
    "vertebra_segmentation": replace(_FURNISHED, cortex_share=(0.25, 1.0)),
    "vertebra_identification": replace(_FURNISHED, cortex_share=(0.05, 0.6)),
}
#: Only names need the whole of what is irregular.
_NAMED: tuple[Stage, ...] = ("vertebra_localisation", "vertebra_identification")


def bank_spacing(stage: Stage) -> float:
    """Isotropic spacing of a stage's synthetic scans, mm."""
    return _LATTICES[stage][0]


def fill_bank(
    folder: Path,
    stage: Stage,
    count: int,
    seed: int,
    atlas: AnatomyMap | None,
    configurations: Sequence[Configuration] = (),
) -> None:
    """Draw scans 0 to count - 1 of a seed; those that exist already are kept.

    atlas: a real body (1 mm or the stage's spacing); where given, half of the scans show it, and a
        quarter show invented columns of its vertebrae.
    configurations: centroids of real spines; where given, the atlas is bent to a random one of them.
    """
    donor = donor_from(atlas) if atlas is not None else None
    for number in range(count):
        path = folder / f"synthetic-{seed}-{number:04d}.npz"
        if not path.exists():
            rng = np.random.default_rng((seed, number))
            body = (
                bent_at_random(atlas, configurations, rng, built=True)
                if atlas is not None and number % 2
                else None
            )
            save_prepared(path, _draw(path.stem, stage, body, donor if number % 4 else None, rng))


def _draw(
    name: str,
    stage: Stage,
    atlas: AnatomyMap | None,
    donor: Donor | None,
    rng: np.random.Generator,
) -> PreparedCase:
    """atlas: shown as it is; without it a body is invented, with the bones of a donor if any."""
    spacing, (width, depth), heights = _LATTICES[stage]
    kind = random_kind(rng) if atlas is None else REGULAR_KIND
    view = VIEWS[kind if stage in _NAMED else REGULAR_KIND]
    size = (width, depth, int(rng.uniform(*view.heights_mm or heights) / spacing))
    least = 1 if stage == "vertebra_segmentation" else 2
    for _ in range(20):
        if atlas is None:
            anatomy = invented(kind, view, spacing, size, rng, donor)
        else:
            anatomy = cut_out(atlas, spacing, size, rng)
        if len(anatomy.centroids) >= least and view.shows(anatomy):
            break
    return prepared(name, anatomy, rng, _RENDERING[stage])


def prepared(
    name: str, anatomy: AnatomyMap, rng: np.random.Generator, options: RenderOptions
) -> PreparedCase:
    """An anatomy rendered once, as a case."""
    hu = render_ct(anatomy, rng, options)
    return PreparedCase(
        name, name, hu, anatomy.vertebrae, anatomy.centroids, anatomy.cut_centroids, anatomy.lattice
    )


def fill_mask_bank(folder: Path, mask: Path, count: int, seed: int) -> None:
    """Scans 0 to count - 1 around a real VerSe mask (…_msk.nii.gz with its …_ctd.json beside it).

    Only stage 3 learns from them: beside the vertebrae everything is made up. They belong to the
    mask's patient, whose anatomy they show.
    """
    name = mask.name.split("_seg")[0]
    patient = patient_of(name.removeprefix("sub-"))
    labels, lattice, centroids = _real_mask(mask)
    for number in range(count):
        path = folder / f"{name}-{seed}-{number:04d}.npz"
        if not path.exists():
            rng = np.random.default_rng((seed, number))
            anatomy = masked_shapes(labels, lattice, centroids, rng)
            case = prepared(path.stem, anatomy, rng, _RENDERING["vertebra_segmentation"])
            save_prepared(path, replace(case, patient=patient))


def _real_mask(path: Path) -> tuple[NDArray[np.uint8], Lattice, tuple[Centroid, ...]]:
    """A mask on a 1 mm lattice with some room around it, its stairs of thick slices smoothed."""
    label_map, grid = read_label_map(path)
    voxels = label_map.labels
    low, high = grid.lattice.corners().min(axis=0) - 15, grid.lattice.corners().max(axis=0) + 15
    size = (high - low).astype(int)
    lattice = Lattice(tuple(low.tolist()), (1.0, 1.0, 1.0), tuple(size.tolist()))
    labels = _smoothed(picked(voxels, nearest_indices(grid.lattice, lattice)))
    stem = path.name.split("_seg-vert")[0]
    found = read_centroids(path.with_name(f"{stem}_seg-subreg_ctd.json"), grid.source)
    return labels, lattice, tuple(c for c in found if (labels == c.label).any())


def _smoothed(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    result, best = np.zeros_like(labels), np.full(labels.shape, 0.5, np.float32)
    for label in np.unique(labels)[1:]:
        share = scipy.ndimage.gaussian_filter((labels == label).astype(np.float32), (1.0, 0.4, 0.4))
        wins = share > best
        result[wins], best[wins] = label, share[wins]
    return result


def masked_shapes(
    mask: NDArray[np.uint8],
    lattice: Lattice,
    centroids: Sequence[Centroid],
    rng: np.random.Generator,
) -> AnatomyMap:
    """Real vertebra masks in a made-up surrounding of soft-tissue blobs and gas."""
    coarse = [max(2, n // 14) for n in mask.shape]
    zoom = [n / c for n, c in zip(mask.shape, coarse, strict=True)]
    noise = rng.standard_normal(coarse).astype(np.float32)
    field = scipy.ndimage.zoom(noise, zoom, order=1, grid_mode=True, mode="nearest")
    kinds = np.array([Tissue.BOWEL_GAS, Tissue.FAT, Tissue.MUSCLE, Tissue.SOFT_ORGAN, Tissue.BLOOD])
    tissue = kinds[np.digitize(field, [-1.1, -0.5, 0.2, 0.8])].astype(np.uint8)
    tissue[scipy.ndimage.binary_dilation(mask > 0, iterations=2)] = Tissue.MUSCLE
    tissue[mask > 0] = Tissue.VERTEBRA
    return AnatomyMap(tissue, mask, tuple(centroids), (), lattice)
