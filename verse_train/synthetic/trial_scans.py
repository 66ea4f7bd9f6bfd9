"""Synthetic scans of all kinds to measure weights on: drawn like training scans, by other seeds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap
from verse_train.synthetic.bending import Configuration, bent_at_random
from verse_train.synthetic.rendering import TRAINING, RenderOptions, render_ct
from verse_train.synthetic.scan_files import write_scan
from verse_train.synthetic.spine_curve import REGULAR_KIND
from verse_train.synthetic.views import VIEWS, cut_out, invented

#: Kinds of invented columns, in turn; every second scan shows the atlas body where there is one.
KINDS = ("regular", "L6", "regular", "T13", "regular", "no T12", "regular", "no L5")
#: Slices averaged into one: with 0.5 to 1 mm each this gives slices of 0.5 to 5 mm.
MERGED_SLICES = (1, 1, 3, 5)
#: Extent in x and y, mm; along z it is drawn. Spacings in plane and along z before merging, mm.
EXTENT_MM = (220.0, 200.0)
HEIGHTS_MM = (120.0, 420.0)
SPACINGS_MM = (0.7, 1.1)
SLICES_MM = (0.5, 1.0)
#: Every patient with screws, half of them with cement, and on a table.
OPERATED = replace(TRAINING, metal=1.0, cement=0.5, table=1.0)


def write_trial_scans(
    folder: Path,
    count: int,
    seed: int,
    atlas: AnatomyMap | None = None,
    configurations: Sequence[Configuration] = (),
    rendering: RenderOptions = TRAINING,
) -> list[Path]:
    """Write scans 0 to count - 1 of a seed as a restructured VerSe data set; returns the CTs' paths.

    Those that exist already are kept. atlas: a real body at about 1 mm, shown by every second scan.
    configurations: centroids of real spines; where given, the atlas is bent to a random one of them.
    """
    paths = []
    for number in range(count):
        name = f"sub-synthetic{seed}n{number:03d}"
        path = folder / "rawdata" / name / f"{name}_ct.nii.gz"
        if not path.exists():
            rng = np.random.default_rng((seed, number))
            write_scan(folder, name, *draw_scan(number, rng, atlas, configurations, rendering))
        paths.append(path)
    return paths


def draw_scan(
    number: int,
    rng: np.random.Generator,
    atlas: AnatomyMap | None = None,
    configurations: Sequence[Configuration] = (),
    rendering: RenderOptions = TRAINING,
) -> tuple[AnatomyMap, NDArray[np.int16]]:
    """Anatomy and HU of one scan, z, y, x on the anatomy's lattice; at least two whole vertebrae."""
    merged = int(rng.choice(MERGED_SLICES))
    in_plane, slices = rng.uniform(*SPACINGS_MM), rng.uniform(*SLICES_MM)
    shown = atlas if number % 2 else None
    kind = KINDS[number // 2 % len(KINDS)] if shown is None else REGULAR_KIND
    heights = rng.uniform(*VIEWS[kind].heights_mm or HEIGHTS_MM)
    size = (
        int(EXTENT_MM[0] / in_plane),
        int(EXTENT_MM[1] / in_plane),
        merged * int(heights / slices / merged),
    )
    spacing = (in_plane, in_plane, slices)
    body = None if shown is None else bent_at_random(shown, configurations, rng)
    while True:
        if body is not None:
            anatomy = cut_out(body, spacing, size, rng)
        else:
            anatomy = invented(kind, VIEWS[kind], spacing, size, rng)
        if len(anatomy.centroids) > 1 and VIEWS[kind].shows(anatomy):
            return _merge_slices(anatomy, render_ct(anatomy, rng, rendering), merged)


def _merge_slices(
    anatomy: AnatomyMap, hu: NDArray[np.int16], count: int
) -> tuple[AnatomyMap, NDArray[np.int16]]:
    """Thick slices: means of `count` (odd) thin ones, with the anatomy of the middle one."""
    lattice = anatomy.lattice
    x, y, z = lattice.origin
    width, depth, height = lattice.spacing
    thick = Lattice(
        (x, y, z + height * (count // 2)),
        (width, depth, height * count),
        (lattice.size[0], lattice.size[1], lattice.size[2] // count),
    )
    means = hu.reshape(-1, count, *hu.shape[1:]).mean(axis=1, dtype=np.float32)
    middle = slice(count // 2, None, count)
    tissue, vertebrae = anatomy.tissue[middle], anatomy.vertebrae[middle]
    merged = replace(anatomy, tissue=tissue, vertebrae=vertebrae, lattice=thick)
    return merged, np.rint(means).astype(np.int16)
