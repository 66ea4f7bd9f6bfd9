"""Synthetic scans as prepared cases: a bank drawn once, from which trainings take their samples."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.centroids import Centroid
from verse_infer.ct import SourceGeometry, from_source
from verse_infer.geometry.grid_geometry import grid_geometry
from verse_infer.geometry.lattice import Lattice, Point
from verse_infer.verse_files import read_centroids
from verse_train.datasets import patient_of
from verse_train.networks import Stage
from verse_train.prepared import PreparedCase, save_prepared
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.bending import Configuration, bent_at_random
from verse_train.synthetic.procedural import invent_anatomy
from verse_train.synthetic.rendering import TRAINING, RenderOptions, render_ct

#: Share of invented vertebrae with a fracture or osteophytes.
DEFORMED = 0.15
#: Spacing of the bank and the size of a scan (x, y) for each stage; z is drawn for each scan, mm.
_LATTICES: dict[Stage, tuple[float, tuple[int, int], tuple[float, float]]] = {
    "spine_localisation": (4.0, (100, 80), (100.0, 700.0)),
    "vertebra_localisation": (2.0, (120, 120), (80.0, 480.0)),
    "vertebra_segmentation": (1.0, (150, 150), (110.0, 150.0)),
}


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

    atlas: a real body (1 mm or the stage's spacing); where given, half of the scans show it.
    configurations: centroids of real spines; where given, the atlas is bent to a random one of them.
    """
    for number in range(count):
        path = folder / f"synthetic-{seed}-{number:04d}.npz"
        if not path.exists():
            rng = np.random.default_rng((seed, number))
            body = (
                bent_at_random(atlas, configurations, rng)
                if atlas is not None and number % 2
                else None
            )
            save_prepared(path, _draw(path.stem, stage, body, rng))


def _draw(
    name: str, stage: Stage, atlas: AnatomyMap | None, rng: np.random.Generator
) -> PreparedCase:
    spacing, (width, depth), heights = _LATTICES[stage]
    size = (width, depth, int(rng.uniform(*heights) / spacing))
    for _ in range(20):
        if atlas is None:
            anatomy = _invented(spacing, size, rng)
        else:
            anatomy = cut_out(atlas, spacing, size, rng)
        if len(anatomy.centroids) >= (1 if stage == "vertebra_segmentation" else 2):
            break
    options = TRAINING if stage == "vertebra_segmentation" else replace(TRAINING, metal=0.1)
    return prepared(name, anatomy, rng, options)


def prepared(
    name: str, anatomy: AnatomyMap, rng: np.random.Generator, options: RenderOptions
) -> PreparedCase:
    """An anatomy rendered once, as a case."""
    hu = render_ct(anatomy, rng, options)
    return PreparedCase(
        name, name, hu, anatomy.vertebrae, anatomy.centroids, anatomy.cut_centroids, anatomy.lattice
    )


def _invented(spacing: float, size: tuple[int, int, int], rng: np.random.Generator) -> AnatomyMap:
    """An invented body; the field of view lies anywhere along its spine."""
    lattice = Lattice.centred((0.0, -25.0, 0.0), spacing, size)
    middle = (rng.uniform(-15, 15), 0.0, rng.uniform(-310, 280))
    return invent_anatomy(lattice, rng, middle=middle, deformed=DEFORMED)


def cut_out(
    atlas: AnatomyMap,
    spacing: float | Point,
    size: tuple[int, int, int],
    rng: np.random.Generator,
) -> AnatomyMap:
    """A field of view of an atlas body around a random vertebra; labels of the nearest voxel."""
    centre = atlas.centroids[int(rng.integers(len(atlas.centroids)))].point
    x, y, z = centre
    middle = (x + rng.uniform(-15, 15), y - 25.0 + rng.uniform(-10, 10), z)
    lattice = Lattice.centred(middle, spacing, size)
    picks = _nearest_indices(atlas.lattice, lattice)
    tissue, vertebrae = (_picked(array, picks) for array in (atlas.tissue, atlas.vertebrae))
    volumes = np.bincount(atlas.vertebrae.ravel(), minlength=29) * np.prod(atlas.lattice.spacing)
    return _with_centroids(tissue, vertebrae, atlas.centroids, volumes, lattice)


def _picked(array: NDArray[np.uint8], picks: Sequence[NDArray[np.intp]]) -> NDArray[np.uint8]:
    """Voxels at the given indices along x, y, z; 0 outside."""
    inside = [(p >= 0) & (p < n) for p, n in zip(picks, array.shape[::-1], strict=True)]
    result = np.zeros([len(p) for p in picks[::-1]], np.uint8)
    where = np.ix_(*(i.nonzero()[0] for i in inside[::-1]))
    result[where] = array[np.ix_(*(p[i] for p, i in zip(picks[::-1], inside[::-1], strict=True)))]
    return result


def _with_centroids(
    tissue: NDArray[np.uint8],
    vertebrae: NDArray[np.uint8],
    centroids: Sequence[Centroid],
    volumes: NDArray[np.float64],
    lattice: Lattice,
) -> AnatomyMap:
    """Sorts centroids into whole and cut by how much of each vertebra's volume is inside."""
    inside = np.bincount(vertebrae.ravel(), minlength=29) * np.prod(lattice.spacing)
    border = _border_labels(vertebrae)
    seen = [
        c
        for c in centroids
        if ((index := lattice.index(c.point)) >= 0).all() and (index < lattice.size).all()
    ]
    whole = [c for c in seen if inside[c.label] > 0.9 * volumes[c.label] and c.label not in border]
    cut = [c for c in seen if c not in whole]
    return AnatomyMap(tissue, vertebrae, tuple(whole), tuple(cut), lattice)


def _border_labels(vertebrae: NDArray[np.uint8]) -> set[int]:
    """Labels that touch the bottom or the top slice."""
    return set(np.unique(vertebrae[[0, -1]]).tolist()) - {0}


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
            case = prepared(path.stem, anatomy, rng, TRAINING)
            save_prepared(path, replace(case, patient=patient))


def _real_mask(path: Path) -> tuple[NDArray[np.uint8], Lattice, tuple[Centroid, ...]]:
    """A mask on a 1 mm lattice with some room around it, its stairs of thick slices smoothed."""
    image = nib.load(path)
    grid = grid_geometry(image.affine, image.shape)
    source = SourceGeometry(image.affine, image.shape, image.header, grid.axes, grid.flips)
    voxels = from_source(np.asarray(image.dataobj).astype(np.uint8), source)
    low, high = grid.lattice.corners().min(axis=0) - 15, grid.lattice.corners().max(axis=0) + 15
    size = (high - low).astype(int)
    lattice = Lattice(tuple(low.tolist()), (1.0, 1.0, 1.0), tuple(size.tolist()))
    labels = _smoothed(_picked(voxels, _nearest_indices(grid.lattice, lattice)))
    stem = path.name.split("_seg-vert")[0]
    found = read_centroids(path.with_name(f"{stem}_seg-subreg_ctd.json"), source)
    return labels, lattice, tuple(c for c in found if (labels == c.label).any())


def _smoothed(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    result, best = np.zeros_like(labels), np.full(labels.shape, 0.5, np.float32)
    for label in np.unique(labels)[1:]:
        share = scipy.ndimage.gaussian_filter((labels == label).astype(np.float32), (1.0, 0.4, 0.4))
        wins = share > best
        result[wins], best[wins] = label, share[wins]
    return result


def _nearest_indices(grid: Lattice, lattice: Lattice) -> list[NDArray[np.intp]]:
    """Per axis x, y, z: the index of the grid nearest to each voxel of another lattice.

    Both axis-aligned.
    """
    return [
        np.rint((o + s * np.arange(n) - a) / b).astype(np.intp)
        for o, s, n, a, b in zip(
            lattice.origin, lattice.spacing, lattice.size, grid.origin, grid.spacing, strict=True
        )
    ]


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
