"""weights/manifest.json: which networks a weights folder holds, and what belongs to each of them.

Everything that goes with trained weights rather than with the user's wishes stands here: spacing,
preprocessing, thresholds, labelling rule. So `--weights DIR` alone reproduces a method.

A lumbar vertebra fills a crop that a cervical one would leave mostly empty, and a network's time is
that of its voxels. So the manifest may name smaller crops for smaller vertebrae.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from verse_infer.anatomy import LABELS
from verse_infer.errors import WeightsError

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
Stage = Literal["spine_localisation", "vertebra_localisation", "vertebra_segmentation"]
STAGES: tuple[Stage, ...] = (
    "spine_localisation",
    "vertebra_localisation",
    "vertebra_segmentation",
)
#: Options that a stage cannot do without; the margin only where whole_scan does not replace it.
_NEEDED_OPTIONS: Mapping[Stage, tuple[str, ...]] = {
    "spine_localisation": ("z_margin_mm",),
    "vertebra_localisation": ("tile_overlap", "min_distance"),
    "vertebra_segmentation": ("centroid_sigma",),
}
Size = tuple[int, int, int]
Offset = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Crop:
    """size: voxels along x, y, z. offset_mm: its middle from the centroid, LPS.

    labels: VerSe labels of the vertebrae it is for; empty for all that no other crop is for.
    """

    size: Size
    offset_mm: Offset = (0.0, 0.0, 0.0)
    labels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One SavedModel: its folder relative to the manifest, and the checksum of its files."""

    folder: str
    sha256: str


@dataclass(frozen=True, slots=True)
class StageWeights:
    """What one stage needs to know of its networks.

    models: averaged if several. spacing_mm: isotropic. input_size: x, y, z voxels of one call
    (a tile of stage 2, a crop of stage 3), each divisible by 16.
    smoothing_mm: Gaussian applied to the CT before sampling. intensity_divisor: HU are divided by
    it and clamped to [-1, 1]. threshold: least height of a heatmap that counts, or least response
    of a vertebra's voxel. labels: VerSe label of each output channel; (0,) where it is not a vertebra.
    options: numbers of this stage alone, such as tile_overlap or centroid_sigma.
    """

    models: tuple[ModelFolder, ...]
    spacing_mm: float
    input_size: tuple[int, int, int]
    smoothing_mm: float
    intensity_divisor: float
    threshold: float
    labels: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def crops(self) -> tuple[Crop, ...]:
        """What stage 3 sees of a vertebra: see crop_of; the last has input_size."""
        return crops_from(self.options, self.input_size, self.spacing_mm)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A weights folder's content. facts: training data, date, scores and licences, for people."""

    name: str
    stages: Mapping[Stage, StageWeights]
    facts: Mapping[str, Any]


def read_manifest(weights: Path) -> Manifest:
    """Read and check weights/manifest.json; WeightsError says what is missing or wrong."""
    path = weights / MANIFEST_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such file; expected a folder with {MANIFEST_NAME}"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read as JSON: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise WeightsError(f"{path}: expected schema_version {SCHEMA_VERSION}, got {version!r}")
    try:
        stages = {stage: _stage(stage, content["stages"][stage]) for stage in STAGES}
        return Manifest(str(content["name"]), stages, dict(content.get("facts", {})))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"{path}: entry missing or wrong: {error!r}") from error


def _stage(stage: Stage, entry: Mapping[str, Any]) -> StageWeights:
    size = checked_size(entry["input_size"], stage)
    labels = tuple(int(label) for label in entry["labels"])
    allowed = LABELS if stage == "vertebra_localisation" else (0,)
    if not labels or not set(labels) <= set(allowed) or len(set(labels)) != len(labels):
        raise ValueError(f"{stage}: labels must be distinct and of {allowed}, got {labels}")
    models = tuple(ModelFolder(str(m["folder"]), str(m["sha256"])) for m in entry["models"])
    if not models:
        raise ValueError(f"{stage}: at least one model is needed")
    options = dict(entry.get("options", {}))
    replaced = {"z_margin_mm"} if options.get("whole_scan") else set()
    missing = [
        option for option in _NEEDED_OPTIONS[stage] if option not in options.keys() | replaced
    ]
    if missing:
        raise ValueError(f"{stage}: expected the options {missing} too, got {options}")
    spacing = _number(stage, entry, "spacing_mm", least=1e-3)
    merging = options.get("tile_merging", "max")
    if merging not in ("max", "mean"):
        raise ValueError(f"{stage}: tile_merging must be max or mean, got {merging!r}")
    crops_from(options, size, spacing)
    return StageWeights(
        models=models,
        spacing_mm=spacing,
        input_size=size,
        smoothing_mm=_number(stage, entry, "smoothing_mm"),
        intensity_divisor=_number(stage, entry, "intensity_divisor", least=1e-3),
        threshold=_number(stage, entry, "threshold"),
        labels=labels,
        options=options,
    )


def _number(stage: Stage, entry: Mapping[str, Any], key: str, least: float = 0.0) -> float:
    value = float(entry[key])
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{stage}: {key} must be a finite number of at least {least}, got {value}")
    return value


def folder_checksum(folder: Path) -> str:
    """SHA-256 over names and contents of all files below a folder, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def crop_of(crops: Sequence[Crop], label: int) -> Crop:
    """The crop for a vertebra; the last of crops is for all labels that no other names."""
    return next((crop for crop in crops if label in crop.labels), crops[-1])


def checked_size(size: Any, whose: str) -> Size:
    """x, y, z voxels that a network takes; ValueError with the name of what they belong to."""
    checked = tuple(int(n) for n in size)
    if len(checked) != 3 or any(n <= 0 or n % 16 for n in checked):
        raise ValueError(f"{whose}: input_size must be three multiples of 16, got {checked}")
    return checked[0], checked[1], checked[2]


def crops_from(options: Mapping[str, Any], size: Size, spacing_mm: float) -> tuple[Crop, ...]:
    """The crops of a manifest's options crops and crop_offset_mm; the last is for all other labels.

    ValueError where a centroid would lie outside its crop, or a label has two.
    """
    whole = Crop(size, _checked_offset(options.get("crop_offset_mm", (0, 0, 0)), size, spacing_mm))
    crops = tuple(_crop(entry, spacing_mm) for entry in options.get("crops", ()))
    named = [label for crop in crops for label in crop.labels]
    if not set(named) <= set(LABELS) or len(set(named)) != len(named):
        raise ValueError(f"crops: labels must be distinct and of {LABELS}, got {named}")
    return *crops, whole


def as_options(crops: Sequence[Crop]) -> list[dict[str, Any]]:
    """What crops_from reads from the option crops."""
    return [
        {"labels": list(c.labels), "input_size": list(c.size), "offset_mm": list(c.offset_mm)}
        for c in crops
    ]


def _crop(entry: Mapping[str, Any], spacing_mm: float) -> Crop:
    labels = tuple(int(label) for label in entry["labels"])
    if not labels:
        raise ValueError("crops: expected labels in each")
    size = checked_size(entry["input_size"], "crops")
    return Crop(size, _checked_offset(entry["offset_mm"], size, spacing_mm), labels)


def _checked_offset(offset: Any, size: Size, spacing_mm: float) -> Offset:
    """The centroid must lie in the crop; three numbers, LPS mm."""
    reach = [spacing_mm * (n - 1) / 2 for n in size]
    if len(offset) != 3 or not all(abs(o) <= r for o, r in zip(offset, reach, strict=True)):
        raise ValueError(f"crop_offset_mm must be three numbers within ±{reach}, got {offset}")
    x, y, z = (float(o) for o in offset)
    return x, y, z
