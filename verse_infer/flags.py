"""Remarks on a scan or its result, each with a code by which programs know it.

A flag never says that a case failed: something odd was dealt with, or a person should look. Codes stay
what they are from version to version; messages are for people and may change.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FlagCode(StrEnum):
    """What a flag is about; docs/flags.md says what to do about each."""

    # The file.
    SYMBOLIC_LINK = "symbolic_link"
    READ_AS_3D = "read_as_3d"
    # Its geometry.
    NEGATIVE_ZOOMS = "negative_zooms"
    ZOOMS_DISAGREE = "zooms_disagree"
    NO_ORIENTATION = "no_orientation"
    QFORM_UNREADABLE = "qform_unreadable"
    FORMS_DISAGREE = "forms_disagree"
    UNIT_DISAGREES = "unit_disagrees"
    DIRECTION_REPAIRED = "direction_repaired"
    # Its voxels.
    VOXELS_NOT_FINITE = "voxels_not_finite"
    PADDING = "padding"
    NO_NEGATIVE_VALUE = "no_negative_value"
    VALUES_SCALED = "values_scaled"
    VALUES_CUT = "values_cut"
    LOW_VALUES_CLIPPED = "low_values_clipped"
    HIGH_VALUES_CLIPPED = "high_values_clipped"
    # What was found.
    NO_SPINE = "no_spine"
    NO_VERTEBRAE = "no_vertebrae"
    CENTROIDS_OUTSIDE = "centroids_outside"
    LABELS_PASSED_OVER = "labels_passed_over"
    NOT_SEGMENTED = "not_segmented"
    # Names and places are uncertain.
    FEW_VERTEBRAE = "few_vertebrae"
    LOW_RESPONSE = "low_response"
    VERTEBRA_LEFT_OUT = "vertebra_left_out"
    THICK_SLICES = "thick_slices"
    STEP_IMPLAUSIBLE = "step_implausible"
    SIZE_IMPLAUSIBLE = "size_implausible"
    SLICES_MISSING = "slices_missing"
    NAMES_DOUBTFUL = "names_doubtful"
    GAP_BRIDGED = "gap_bridged"
    # Rare anatomy was seen, or what looks like it.
    THIRTEEN_THORACIC = "thirteen_thoracic"
    SIX_LUMBAR = "six_lumbar"
    NO_T12 = "no_t12"
    NO_L5 = "no_l5"
    # The orientation in the header may be wrong.
    SPINE_IN_FRONT = "spine_in_front"
    SPINE_BESIDE = "spine_beside"
    VERTEBRAE_SHRINK = "vertebrae_shrink"


@dataclass(frozen=True, slots=True)
class Flag:
    """code: what it is about. message: for people. value: the number it rests on, if there is one.

    The value is finite; its unit is that of docs/flags.md.
    """

    code: FlagCode
    message: str
    value: float | None = None

    def __post_init__(self) -> None:
        """JSON has no infinity."""
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "value", None)


def flag_from(content: Mapping[str, Any]) -> Flag:
    """What asdict made of a flag; ValueError, LookupError or TypeError where it is none."""
    value = content["value"]
    return Flag(
        FlagCode(content["code"]), str(content["message"]), None if value is None else float(value)
    )
