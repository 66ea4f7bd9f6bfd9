"""weights/manifest.json: which networks a weights folder holds, and what belongs to each of them.

Everything that goes with trained weights rather than with the user's wishes stands here: spacing,
preprocessing, thresholds, labelling rule. So `--weights DIR` alone reproduces a method.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from verse_infer.anatomy import LABELS
from verse_infer.crops import Crop, checked_size, crops_from
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
