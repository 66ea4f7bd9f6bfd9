"""Scores over groups: all scans, fields of view, rare anatomy; regions and single vertebrae.

Fields of view are those of Sekuboyina et al. 2021, section 4.4. How well matched vertebrae are named is
agreement beyond chance, and names shifted by one level.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from verse_eval.measures import MEASURES, all_identified, all_right, mean
from verse_eval.scan_scores import ScanScore, VertebraScore
from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of, name_of, region_of, successors_of

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


_PLACE = {label: place for place, label in enumerate(CRANIOCAUDAL_LABELS)}

Shift = Literal["up", "none", "down"]


def linearly_weighted_kappa(pairs: Sequence[tuple[int, int]]) -> float:
    """Cohen's kappa (1968) of (true, predicted) labels, weighted by their distance along the spine.

    1 - Σ w·observed / Σ w·expected with w = |difference of places from head to foot|, T13 standing
    between T12 and L1 (Lessmann et al. 2019, section 4.2). 1 for labels that all agree, even where
    chance could not differ; nan without pairs.
    """
    if not pairs:
        return float("nan")
    places = np.array([[_PLACE[true], _PLACE[predicted]] for true, predicted in pairs])
    observed = np.abs(places[:, 0] - places[:, 1]).mean()
    if observed == 0:
        return 1.0
    expected = np.abs(places[:, :1] - places[:, 1][None, :]).mean()
    return float(1.0 - observed / expected)


def one_level_shift(matched: Mapping[int, int]) -> Shift:
    """Are more than half of the matched vertebrae named like a next one, all the same way?

    matched: predicted by true label. "down": named like the next vertebra towards the feet. What may
    be next stands in anatomy (T12, T13 and L1 in any of their orders).
    """
    down = sum(predicted in successors_of(true) for true, predicted in matched.items())
    up = sum(true in successors_of(predicted) for true, predicted in matched.items())
    if 2 * down > len(matched):
        return "down"
    return "up" if 2 * up > len(matched) else "none"


REGIONS = ("cervical", "thoracic", "lumbar")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of a measure over the scans of a group that have it. sd: of the sample (n - 1); nan below 2."""

    scans: int
    mean: float
    median: float
    sd: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Scores of a group.

    scope: all, region, vertebra, field_of_view, landmark or transitional. name: of the group.
    scans, vertebrae: how many are annotated. measures: over the scans' values, by Measure.name.
    pooled: counts and rates over all vertebrae of the group at once (pooled_scores).
    """

    scope: str
    name: str
    scans: int
    vertebrae: int
    measures: dict[str, Statistics]
    pooled: dict[str, float]


def summarise(scans: Sequence[ScanScore]) -> tuple[Summary, ...]:
    """All scans, then every group that is not empty; the first is over all."""
    return tuple(
        _summary(scope, name, group)
        for scope, name, group in _groups(scans)
        if scope == "all" or any(scan.vertebrae for scan in group)
    )


def restrict(scan: ScanScore, labels: Collection[int]) -> ScanScore:
    """A scan's scores, of some labels only."""
    return replace(
        scan,
        vertebrae=tuple(v for v in scan.vertebrae if v.label in labels),
        extra=tuple(k for k in scan.extra if k in labels),
        extra_in_mask=tuple(k for k in scan.extra_in_mask if k in labels),
        cut=tuple(k for k in scan.cut if k in labels),
        cut_reported=tuple(k for k in scan.cut_reported if k in labels),
    )


def pooled_scores(scans: Sequence[ScanScore]) -> dict[str, float]:
    """Over all vertebrae of the scans at once.

    id_rate_glocker: Glocker's rate over the data set. distance_mm, distance_sd_mm: over vertebrae
    that both have. label_accuracy: matched and rightly named, of all annotated; kappa: linearly
    weighted, of the matched. completeness_accuracy: whole vertebrae found and cut ones left out, of
    both; with false positives (cut ones reported) and negatives (whole ones not found) per scan
    (Lessmann et al. 2019, section 4.2; a VerSe prediction holds what it reports to be whole).
    missing, extra: centroids; missing_in_mask, extra_in_mask: masks. shifted_up, shifted_down: scans
    named one level off (naming.one_level_shift). all_identified_rate, all_right_rate: of scans.
    """
    vertebrae = [v for scan in scans for v in scan.vertebrae]
    distances = [v.distance_mm for v in vertebrae if not np.isnan(v.distance_mm)]
    labelled = [s for s in scans if any(v.identified is not None for v in s.vertebrae)]
    shifts = [one_level_shift(scan.matched) for scan in scans]
    return {
        "id_rate_glocker": mean(v.identified_by_glocker for v in vertebrae),
        "distance_mm": mean(distances),
        "distance_sd_mm": _sd(distances),
        "label_accuracy": mean(v.assigned == v.label for v in vertebrae),
        "kappa": linearly_weighted_kappa([p for s in scans for p in s.matched.items()]),
        **_completeness(scans, vertebrae),
        "missing": sum(v.centroid_missing for v in vertebrae),
        "extra": sum(len(scan.extra) for scan in scans),
        "missing_in_mask": sum(v.mask_missing for v in vertebrae),
        "extra_in_mask": sum(len(scan.extra_in_mask) for scan in scans),
        "shifted_up": shifts.count("up"),
        "shifted_down": shifts.count("down"),
        "all_identified_rate": mean(all_identified(scan) for scan in labelled),
        "all_right_rate": mean(all_right(scan) for scan in labelled),
    }


def _completeness(
    scans: Sequence[ScanScore], vertebrae: Sequence[VertebraScore]
) -> dict[str, float]:
    found = [v.assigned is not None for v in vertebrae]
    left_out = [label not in scan.cut_reported for scan in scans for label in scan.cut]
    return {
        "completeness_accuracy": mean([*found, *left_out]),
        "completeness_false_positives": left_out.count(False) / max(len(scans), 1),
        "completeness_false_negatives": found.count(False) / max(len(scans), 1),
        "cut_vertebrae": len(left_out),
    }


def _groups(scans: Sequence[ScanScore]) -> Iterator[tuple[str, str, list[ScanScore]]]:
    yield "all", "all", list(scans)
    for region in REGIONS:
        yield (
            "region",
            region,
            _with(scans, [k for k in CRANIOCAUDAL_LABELS if region_of(k) == region]),
        )
    for label in CRANIOCAUDAL_LABELS:
        yield "vertebra", name_of(label), _with(scans, [label])
    for category in FIELDS_OF_VIEW:
        yield "field_of_view", category, [s for s in scans if field_of_view(s.labels) == category]
    for landmark in LANDMARKS:
        yield "landmark", landmark, [s for s in scans if landmark in landmarks(s.labels)]
    for kind in TRANSITIONAL:
        yield "transitional", kind, [s for s in scans if kind in transitional(s.labels)]


def _with(scans: Sequence[ScanScore], labels: Collection[int]) -> list[ScanScore]:
    """Scans restricted to some labels; those that neither show nor report any are left out."""
    parts = [restrict(scan, labels) for scan in scans]
    return [p for p in parts if p.vertebrae or p.extra or p.extra_in_mask or p.cut]


def _summary(scope: str, name: str, scans: Sequence[ScanScore]) -> Summary:
    annotated = [scan for scan in scans if scan.vertebrae]
    return Summary(
        scope,
        name,
        scans=len(annotated),
        vertebrae=sum(len(scan.vertebrae) for scan in scans),
        measures={key: _statistics([m.of(s) for s in annotated]) for key, m in MEASURES.items()},
        pooled=pooled_scores(scans),
    )


def _statistics(values: Sequence[float]) -> Statistics:
    kept = [value for value in values if not np.isnan(value)]
    median = float(np.median(kept)) if kept else float("nan")
    return Statistics(len(kept), mean(kept), median, _sd(kept))


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
