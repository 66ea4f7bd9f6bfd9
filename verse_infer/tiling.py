"""Tiles along z, and merging what a network says of each of them."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
RunBatch = Callable[[Floats], Floats]
Merging = Literal["max", "mean"]


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
    image: Floats,
    run_batch: RunBatch,
    tile: int,
    overlap: int,
    batch: int = 1,
    merging: Merging = "max",
) -> Floats:
    """Network outputs over a long image; (z, y, x, c) -> (z, y, x, outputs).

    run_batch: (n, z, y, x, c) -> (n, z, y, x, outputs), for at most `batch` images. An image no
    longer than one tile is run whole. Each tile has exactly `tile` slices, so that a network's
    graph is made for one size only. merging: where tiles overlap, the maximum (as published), or
    the mean, in which a tile counts the less the nearer its own end is.
    """
    starts = tile_starts(len(image), tile, overlap)
    if len(starts) == 1:
        return np.asarray(run_batch(image[None])[0])
    merged: Floats | None = None
    shares = _shares(starts, len(image), tile)
    for first in range(0, len(starts), batch):
        group = starts[first : first + batch]
        outputs = run_batch(np.stack([image[start : start + tile] for start in group]))
        if merged is None:
            lowest = -np.inf if merging == "max" else 0.0
            merged = np.full((len(image), *outputs.shape[2:]), lowest, np.float32)
        for start, output in zip(group, outputs, strict=True):
            window = merged[start : start + tile]
            if merging == "max":
                np.maximum(window, output, out=window)
            else:
                window += output * shares[start][:, None, None, None]
    assert merged is not None
    return merged


def _shares(starts: tuple[int, ...], length: int, tile: int) -> dict[int, Floats]:
    """By start: what each slice of the tile counts, 0 to 1; over all tiles the sum is 1."""
    middle = (tile - 1) / 2
    # At a tile's own end it counts little, but not nothing: elsewhere there may be no other tile.
    weight = np.float32(1.05 * middle) - np.abs(np.arange(tile, dtype=np.float32) - middle)
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + tile] += weight
    return {start: weight / total[start : start + tile] for start in starts}
