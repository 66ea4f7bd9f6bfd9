"""weights/manifest.json: which networks a weights folder holds, and what belongs to each of them.

Everything that goes with trained weights rather than with the user's wishes stands here: spacing,
preprocessing, thresholds, labelling rule. So `--weights DIR` alone reproduces a method. The structures
below are the file's form: whatever stands in it must be known here, and is refused with its path else.

A lumbar vertebra fills a crop that a cervical one would leave mostly empty, and a network's time is
that of its voxels. So the manifest may name smaller crops for smaller vertebrae.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from verse_infer.anatomy import LABELS
from verse_infer.errors import WeightsError
from verse_infer.labelling.rules import (
    BodyCandidates,
    ChainRule,
    Labelling,
    NotNegative,
    Share,
)
from verse_infer.texts import read_text

SCHEMA_VERSION = 2
MANIFEST_NAME = "manifest.json"
#: The weights of this project, beside its packages.
BUNDLED_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
Stage = Literal[
    "spine_localisation",
    "vertebra_localisation",
    "vertebra_segmentation",
    "vertebra_identification",
]
#: The stages of the method, all of which a weights folder has; others it may have.
STAGES: tuple[Stage, ...] = (
    "spine_localisation",
    "vertebra_localisation",
    "vertebra_segmentation",
)
#: The stage that names vertebrae in a straightened picture; and all stages that a folder may have.
IDENTIFICATION: Stage = "vertebra_identification"
ALL_STAGES: tuple[Stage, ...] = (*STAGES, IDENTIFICATION)
#: How the stages work together: as in Payer et al. 2020.
Strategy = Literal["payer"]
#: The name of the output of a network that has one only.
OUTPUT = "output"

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Positive = Annotated[float, Meta(ge=1e-3)]
Voxels = Annotated[int, Meta(ge=16, multiple_of=16)]
#: Voxels along x, y, z; networks halve them four times.
Size = tuple[Voxels, Voxels, Voxels]
#: LPS mm.
Offset = tuple[float, float, float]


class Crop(Struct, frozen=True, forbid_unknown_fields=True):
    """size: voxels along x, y, z. offset_mm: its middle from the centroid, LPS.

    labels: VerSe labels of the vertebrae it is for; empty for all that no other crop is for.
    """

    size: Size = msgspec.field(name="input_size")
    offset_mm: Offset = (0.0, 0.0, 0.0)
    labels: tuple[int, ...] = ()


class TrainingFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A network's weights as a further training begins with them; running it needs none of this.

    file: relative to the manifest; it may be absent. size: what verse_train calls the network's size.
    """

    file: str
    sha256: Sha256
    size: Annotated[str, Meta(min_length=1)]

    def __post_init__(self) -> None:
        """A file elsewhere is none of the weights."""
        _check_below("file", self.file)


class ModelFolder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One SavedModel: its folder relative to the manifest, and the checksum of its files."""

    folder: str
    sha256: Sha256
    training: TrainingFile | None = None

    def __post_init__(self) -> None:
        """A folder elsewhere is none of the weights."""
        _check_below("folder", self.folder)


class SpineOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the spine's region follows from the heatmap of stage 1.

    whole_scan: it is the whole scan along z, as published; else what rises above the threshold and
    z_margin_mm at both ends. least_height: there is no spine where the heatmap's maximum is below it.
    """

    whole_scan: bool = False
    z_margin_mm: NotNegative | None = None
    least_height: NotNegative = 0.0

    def __post_init__(self) -> None:
        """Without a margin there is no end."""
        if self.z_margin_mm is None and not self.whole_scan:
            raise ValueError("z_margin_mm: expected a number, as whole_scan is false, got none")


class LandmarkOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How heatmaps are made of tiles, and named vertebrae of heatmaps.

    tile_overlap: voxels along z. tile_merging: see predict_tiled. whole_tiles: the network knows no
    other size than a tile's. min_distance: voxels, see find_candidates. usual_response: median of the
    vertebrae's maxima below which scans that these weights can read do not fall; 0: not known.
    end_margin_mm: vertebrae nearer to the scan's top or bottom are left out. bodies: how the chain
    rule's candidates are found; None: maxima of each heatmap.
    """

    tile_overlap: Annotated[int, Meta(ge=0)]
    min_distance: Annotated[int, Meta(ge=1)]
    tile_merging: Literal["max", "mean"] = "max"
    whole_tiles: bool = False
    usual_response: NotNegative = 0.0
    end_margin_mm: NotNegative = 10.0
    bodies: BodyCandidates | None = None
    labelling: Labelling = Labelling()


class SegmentationOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the network of stage 3 sees of a vertebra.

    centroid_sigma: of the Gaussian that marks it, voxels. crop_offset_mm: middle of the crop from the
    centroid, LPS. crops: other crops for the vertebrae they name.
    """

    centroid_sigma: Annotated[float, Meta(gt=0)]
    crop_offset_mm: Offset = (0.0, 0.0, 0.0)
    crops: tuple[Crop, ...] = ()

    def __post_init__(self) -> None:
        """No vertebra has two crops."""
        for number, crop in enumerate(self.crops):
            if not crop.labels:
                raise ValueError(f"crops[{number}].labels: expected at least one, got none")
        named = [label for crop in self.crops for label in crop.labels]
        if not set(named) <= set(LABELS) or len(set(named)) != len(named):
            raise ValueError(f"crops: labels must be distinct and of {LABELS}, got {named}")


class IdentificationOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How bodies are read from a straightened picture, joined with those of stage 2, and named.

    smoothing_mm: Gaussian applied to the CT before it is drawn. least_localised: a maximum of the sum of
    stage 2's heatmaps below it is no body. least_body: the same of the picture's bodies. sure_body: the
    curve of the second look runs through bodies above it. same_body_mm: a body of stage 2 nearer than
    this to one of the picture is the same. off_curve_mm: bodies of stage 2 farther from the curve lie
    beside the spine. localised_share: what a full response of stage 2 adds to the chance of a body that
    the picture does not show. region_weight, heatmap_weight: weights of the logarithms of a region's
    chance, and of stage 2's heatmaps, beside the name's. heatmap_floor: added to those heatmaps.
    blend: share of stage 2's place in a body that both have.
    chain: the labelling rule's numbers. least_sum: where the responses of all vertebrae together are
    less, there is no spine. least_margin: namings nearer to their rival are doubtful. usual_response:
    median of the vertebrae's responses below which scans that can be read do not fall; 0: not known.
    """

    smoothing_mm: NotNegative = 0.75
    least_localised: NotNegative = 0.05
    least_body: NotNegative = 0.05
    sure_body: NotNegative = 0.35
    same_body_mm: NotNegative = 9.0
    off_curve_mm: NotNegative = 20.0
    localised_share: Share = 0.3
    region_weight: NotNegative = 0.5
    heatmap_weight: NotNegative = 0.3
    heatmap_floor: Positive = 0.02
    blend: Share = 0.5
    chain: ChainRule = ChainRule()
    least_sum: NotNegative = 0.0
    least_margin: NotNegative = 0.0
    usual_response: NotNegative = 0.0


class StageWeights(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every stage says of its networks.

    models: averaged if several. comments: why the numbers are what they are, for people.
    """

    models: Annotated[tuple[ModelFolder, ...], Meta(min_length=1)]
    comments: tuple[str, ...] = ()

    @property
    def heads(self) -> Mapping[str, int]:
        """Channels of each of a network's outputs, by name."""
        return {OUTPUT: 1}


class VolumeWeights(StageWeights, frozen=True, kw_only=True):
    """What the stages of the method say of their networks, which see volumes.

    spacing_mm: isotropic. input_size: x, y, z voxels of one call (a tile of stage 2, a crop of stage 3).
    smoothing_mm: Gaussian applied to the CT before sampling. intensity_divisor: HU are divided by
    it and clamped to [-1, 1]. threshold: least height of a heatmap that counts, or least response
    of a vertebra's voxel.
    """

    spacing_mm: Positive
    input_size: Size
    smoothing_mm: NotNegative
    intensity_divisor: Positive
    threshold: NotNegative

    @property
    def input_sizes(self) -> tuple[Size, ...]:
        """All sizes that a network of the stage is usually given."""
        return (self.input_size,)

    @property
    def channels(self) -> int:
        """Of the networks' input."""
        return 1


class SpineWeights(VolumeWeights, frozen=True, kw_only=True):
    """Stage 1: one heatmap of the spine's centre line."""

    options: SpineOptions


class LandmarkWeights(VolumeWeights, frozen=True, kw_only=True):
    """Stage 2: one heatmap per vertebra. labels: their VerSe labels, in the order of the channels."""

    labels: tuple[int, ...]
    options: LandmarkOptions

    def __post_init__(self) -> None:
        """Labels are vertebrae, and tiles move on."""
        labels, tile = self.labels, self.input_size[2]
        if not labels or not set(labels) <= set(LABELS) or len(set(labels)) != len(labels):
            raise ValueError(f"labels: expected distinct ones of {LABELS}, got {labels}")
        if self.options.tile_overlap >= tile:
            overlap = self.options.tile_overlap
            raise ValueError(f"options.tile_overlap: expected less than {tile}, got {overlap}")

    @property
    def heads(self) -> Mapping[str, int]:
        """One channel per label."""
        return {OUTPUT: len(self.labels)}


class SegmentationWeights(VolumeWeights, frozen=True, kw_only=True):
    """Stage 3: the response of one vertebra, of its CT crop and a marker."""

    options: SegmentationOptions

    def __post_init__(self) -> None:
        """Every crop holds its centroid."""
        self._check("options.crop_offset_mm", self.crops[-1])
        for number, crop in enumerate(self.options.crops):
            self._check(f"options.crops[{number}].offset_mm", crop)

    def _check(self, field: str, crop: Crop) -> None:
        reach = [self.spacing_mm * (n - 1) / 2 for n in crop.size]
        if any(abs(o) > r for o, r in zip(crop.offset_mm, reach, strict=True)):
            raise ValueError(f"{field}: expected within ±{reach}, got {list(crop.offset_mm)}")

    @property
    def crops(self) -> tuple[Crop, ...]:
        """What the network sees of a vertebra: see crop_of; the last has input_size."""
        return *self.options.crops, Crop(self.input_size, self.options.crop_offset_mm)

    @property
    def input_sizes(self) -> tuple[Size, ...]:
        """Those of all crops."""
        return tuple(dict.fromkeys(crop.size for crop in self.crops))

    @property
    def channels(self) -> int:
        """CT and marker."""
        return 2


class IdentificationWeights(StageWeights, frozen=True, kw_only=True):
    """The stage that names vertebrae in a straightened picture; see identification.py."""

    options: IdentificationOptions = IdentificationOptions()

    @property
    def heads(self) -> Mapping[str, int]:
        """Logits of names, regions, bodies, whole vertebrae and sacrum, and offsets."""
        return {"names": len(LABELS), "region": 3, "body": 1, "offset": 2, "whole": 1, "sacrum": 1}


class Stages(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a weights folder holds of each stage; None: it has none of it."""

    spine_localisation: SpineWeights
    vertebra_localisation: LandmarkWeights
    vertebra_segmentation: SegmentationWeights
    vertebra_identification: IdentificationWeights | None = None

    def present(self) -> dict[Stage, StageWeights]:
        """Those that it holds, in the order of the stages."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: stage for name, stage in found.items() if stage is not None}  # type: ignore[misc]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A weights folder's content. facts: training data, date, scores and licences, for people."""

    schema_version: Literal[2] = 2
    name: str
    strategy: Strategy = "payer"
    stages: Stages
    facts: dict[str, Any] = {}


def read_manifest(weights: Path) -> Manifest:
    """Read and check weights/manifest.json; WeightsError says what is missing or wrong, and where."""
    path = weights / MANIFEST_NAME
    try:
        content = msgspec.json.decode(read_text(path))
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such file; expected a folder with {MANIFEST_NAME}"
        ) from None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read as JSON: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version not in (1, SCHEMA_VERSION):
        raise WeightsError(
            f"{path}: expected schema_version {SCHEMA_VERSION} (or 1), got {version!r}"
        )
    try:
        return msgspec.convert(_of_version_2(content), Manifest)
    except msgspec.ValidationError as error:
        raise WeightsError(f"{path}: {_with_whole_path(str(error))}") from error


def as_json(manifest: Manifest) -> str:
    """The file's text, every number written out, so that defaults of later versions change nothing."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1).decode() + "\n"


def crop_of(crops: Sequence[Crop], label: int) -> Crop:
    """The crop for a vertebra; the last of crops is for all labels that no other names."""
    return next((crop for crop in crops if label in crop.labels), crops[-1])


def folder_checksum(folder: Path) -> str:
    """SHA-256 over names and contents of all files below a folder, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _check_below(field: str, place: str) -> None:
    path = PurePosixPath(place)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise ValueError(f"{field}: expected a {field} below the manifest's folder, got {place!r}")


def _of_version_2(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 differs only in that stages 1 and 3 have labels too, always [0]."""
    if content["schema_version"] == SCHEMA_VERSION:
        return content
    converted = {**content, "schema_version": SCHEMA_VERSION}
    if isinstance(stages := content.get("stages"), dict):
        converted["stages"] = {
            name: stage if name == "vertebra_localisation" else _without_labels(stage)
            for name, stage in stages.items()
        }
    return converted


def _without_labels(stage: Any) -> Any:
    if not isinstance(stage, dict) or stage.get("labels") != [0]:
        return stage
    return {key: value for key, value in stage.items() if key != "labels"}


def _with_whole_path(message: str) -> str:
    """The path that a check of several fields states, appended to that of the fields' structure."""
    own = re.fullmatch(r"(?P<field>[\w.\[\]]+): (?P<said>.*?)(?: - at `(?P<place>.*)`)?", message)
    if own is None:
        return message
    return f"{own['said']} - at `{own['place'] or '$'}.{own['field']}`"
