"""How much of a CT the segmentation network sees of each vertebra.

A lumbar vertebra fills a crop that a cervical one would leave mostly empty, and a network's time is that
of its voxels. So the manifest may name smaller crops for smaller vertebrae.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verse_infer.anatomy import LABELS

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
