"""Tiles along z, and merging what a network says of each of them by the maximum."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def tile_starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    """First voxel of each tile; neighbours overlap by at least `overlap`; the last ends at length.

    One tile from 0 where the length does not exceed the tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"overlap must be at least 0 and below the tile of {tile}, got {overlap}")
    if length <= tile:
        return (0,)
    count = 1 + -(-(length - tile) // (tile - overlap))
    return tuple(round(i * (length - tile) / (count - 1)) for i in range(count))


def predict_tiled(
    image: Floats, run_batch: Callable[[Floats], Floats], tile: int, overlap: int, batch: int = 1
) -> Floats:
    """Network outputs over a long image; (z, y, x, c) -> (z, y, x, outputs).

    run_batch: (n, z, y, x, c) -> (n, z, y, x, outputs), for at most `batch` images. An image no
    longer than one tile is run whole. Each tile has exactly `tile` slices, so that a network's
    graph is made for one size only.
    """
    starts = tile_starts(len(image), tile, overlap)
    if len(starts) == 1:
        return np.asarray(run_batch(image[None])[0])
    merged: Floats | None = None
    for first in range(0, len(starts), batch):
        group = starts[first : first + batch]
        outputs = run_batch(np.stack([image[start : start + tile] for start in group]))
        if merged is None:
            merged = np.full((len(image), *outputs.shape[2:]), -np.inf, np.float32)
        for start, output in zip(group, outputs, strict=True):
            window = merged[start : start + tile]
            np.maximum(window, output, out=window)
    assert merged is not None
    return merged
