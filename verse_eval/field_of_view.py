"""Groups of scans by what they show (Sekuboyina et al. 2021, section 4.4) and by rare anatomy."""

from collections.abc import Collection

from verse_infer.anatomy import label_of

#: The benchmark paper's six categories, then scans that show neither junction.
FIELDS_OF_VIEW: tuple[str, ...] = (
    "C/T (+C1)",
    "C/T (-C1)",
    "T/L (+L5)",
    "T/L (-L5)",
    "C/T/L (+C1&L5)",
    "C/T/L (-C1/L5)",
    "no junction",
)

#: Landmarks from which levels are counted; a scan may show several.
LANDMARKS: tuple[str, ...] = ("cranium", "C7/T1", "T12/L1", "sacrum")

#: Rare anatomy; a scan may have several.
TRANSITIONAL: tuple[str, ...] = ("T13", "L6", "neither T13 nor L6")


def landmarks(labels: Collection[int]) -> frozenset[str]:
    """Landmarks seen, told by the annotated labels as in the paper.

    Cranium: C1. C7/T1: both. T12/L1: T12 or T13, and L1. Sacrum: L5 or L6.
    """
    shown = {name: label_of(name) in labels for name in ("C1", "C7", "T1", "T12", "T13", "L1")}
    found = {
        "cranium": shown["C1"],
        "C7/T1": shown["C7"] and shown["T1"],
        "T12/L1": (shown["T12"] or shown["T13"]) and shown["L1"],
        "sacrum": label_of("L5") in labels or label_of("L6") in labels,
    }
    return frozenset(name for name, seen in found.items() if seen)


def field_of_view(labels: Collection[int]) -> str:
    """The one of FIELDS_OF_VIEW that a scan with these annotated labels belongs to."""
    seen = landmarks(labels)
    upper, lower = "C7/T1" in seen, "T12/L1" in seen
    if upper and lower:
        return FIELDS_OF_VIEW[4] if {"cranium", "sacrum"} <= seen else FIELDS_OF_VIEW[5]
    if upper:
        return FIELDS_OF_VIEW[0] if "cranium" in seen else FIELDS_OF_VIEW[1]
    if lower:
        return FIELDS_OF_VIEW[2] if "sacrum" in seen else FIELDS_OF_VIEW[3]
    return FIELDS_OF_VIEW[6]


def transitional(labels: Collection[int]) -> frozenset[str]:
    """The ones of TRANSITIONAL that hold for a scan with these annotated labels."""
    rare = frozenset(name for name in TRANSITIONAL[:2] if label_of(name) in labels)
    return rare or frozenset(TRANSITIONAL[2:])
