"""Frozen SavedModels: found by the manifest, checked, run on the process' device and precision.

Long images go through a network in tiles along z, and what it says of each of them is merged.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import WeightsError
from verse_infer.runtime import Device, Precision, Runtime, configure
from verse_infer.weights import (
    OUTPUT,
    IdentificationWeights,
    LandmarkWeights,
    Manifest,
    SegmentationWeights,
    SpineWeights,
    Stage,
    StageWeights,
    folder_checksum,
    read_manifest,
)

logger = logging.getLogger(__name__)
Floats = NDArray[np.float32]
RunBatch = Callable[[Floats], Floats]
#: What of a SavedModel is run: from a tensor to its outputs by name, as tensors or arrays.
Function = Callable[[Any], Mapping[str, Any]]
Weights = TypeVar("Weights", bound=StageWeights)
Merging = Literal["max", "mean"]


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A loaded SavedModel. model: kept, as its signature does not keep it alive."""

    model: Any
    signature: Any

    def __call__(self, image: Any) -> Mapping[str, Any]:
        """Run a tensor (n, z, y, x, channels); tensors by the names of the outputs."""
        return self.signature(image=image)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Network(Generic[Weights]):
    """The network, or the average of the networks, of one stage.

    weights: what the manifest says of the stage. functions: one per SavedModel. batch: as many images
    at a time fill the device.
    """

    weights: Weights
    functions: tuple[Function, ...]
    device: str
    batch: int = 1

    def __call__(self, image: Floats) -> Floats:
        """Run one image. (z, y, x, channels) -> (z, y, x, outputs); sizes divisible by 16."""
        return np.asarray(self.run_batch(image[None])[0])

    def run_batch(self, images: Floats) -> Floats:
        """Run several images through a network with one output.

        (n, z, y, x, channels) -> (n, z, y, x, outputs), not to be written to.
        """
        return self.run_heads(images)[OUTPUT]

    def run_heads(self, images: Floats) -> dict[str, Floats]:
        """All outputs for several images, by name; see the weights' heads.

        images: (n, z, y, x, channels). An output's first axis is n, its last one its channels; not to
        be written to.
        """
        import tensorflow as tf

        with tf.device(self.device):
            tensor = tf.constant(images, tf.float32)
            answers = [function(tensor) for function in self.functions]
            return {name: _mean([answer[name] for answer in answers]) for name in answers[0]}


def _mean(outputs: Sequence[Any]) -> Floats:
    """Of tensors, or arrays."""
    # A view: numpy() would copy, which for 26 heatmaps takes a tenth of the call.
    arrays = [np.asarray(memoryview(output)) for output in outputs]
    if len(arrays) == 1:
        return np.asarray(arrays[0], np.float32)
    return np.asarray(np.mean(arrays, axis=0, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Networks:
    """All stages that a weights folder has, ready to run."""

    manifest: Manifest
    stages: Mapping[Stage, Network[Any]]
    runtime: Runtime

    def __getitem__(self, stage: Stage) -> Network[Any]:
        """The network of a stage; KeyError where the weights have none."""
        return self.stages[stage]

    @property
    def spine(self) -> Network[SpineWeights]:
        """Stage 1."""
        return self.stages["spine_localisation"]

    @property
    def landmarks(self) -> Network[LandmarkWeights]:
        """Stage 2."""
        return self.stages["vertebra_localisation"]

    @property
    def segmentation(self) -> Network[SegmentationWeights]:
        """Stage 3."""
        return self.stages["vertebra_segmentation"]

    @property
    def identification(self) -> Network[IdentificationWeights] | None:
        """The stage that names vertebrae; None where the weights have none."""
        return self.stages.get("vertebra_identification")


def load_networks(
    weights: Path,
    device: Device = "auto",
    precision: Precision = "auto",
    batch: int | None = None,
) -> Networks:
    """Check and load a weights folder.

    device, precision: see runtime.configure; the process has one of each. batch: images that go through a
    network at a time; None takes what suits the device.
    Raises WeightsError (missing, damaged, other contract) and UsageError (no such device, or another
    choice than that of this process).
    """
    manifest = read_manifest(weights)
    present = manifest.stages.present()
    for stage in present.values():
        for model in stage.models:
            check_files(weights / model.folder, model.sha256)
    runtime = configure(device, precision)
    stages: dict[Stage, Network[Any]] = {}
    for name, stage in present.items():
        models = tuple(_load(weights / m.folder, stage) for m in stage.models)
        stages[name] = Network(stage, models, runtime.device, batch or runtime.batch)
    logger.info("weights %s on %s in %s", manifest.name, runtime.device, runtime.precision)
    return Networks(manifest, stages, runtime)


def check_files(folder: Path, expected: str) -> None:
    """WeightsError unless the folder holds a SavedModel with the manifest's SHA-256."""
    if not (folder / "saved_model.pb").is_file():
        raise WeightsError(f"{folder}: expected a SavedModel, found none")
    found = folder_checksum(folder)
    if found != expected:
        raise WeightsError(f"{folder}: damaged: expected SHA-256 {expected}, got {found}")


def _load(folder: Path, stage: StageWeights) -> SavedModel:
    """The SavedModel, after a check of its contract."""
    import tensorflow as tf

    try:
        model = tf.saved_model.load(str(folder))
        signature = model.signatures["serving_default"]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise WeightsError(f"{folder}: cannot be loaded: {error}") from error
    channels = {name: tensor.shape[-1] for name, tensor in signature.structured_outputs.items()}
    if channels != dict(stage.heads):
        raise WeightsError(
            f"{folder}: expected outputs with channels {dict(stage.heads)}, got {channels}"
        )
    return SavedModel(model, signature)


def normalised(hu: Floats, divisor: float) -> Floats:
    """HU / divisor, clamped to [-1, 1]."""
    return np.asarray(np.clip(hu / np.float32(divisor), -1.0, 1.0), np.float32)


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
