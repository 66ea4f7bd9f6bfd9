"""Scores over groups: all scans, fields of view, rare anatomy; regions and single vertebrae."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verse_eval.field_of_view import (
    FIELDS_OF_VIEW,
    LANDMARKS,
    TRANSITIONAL,
    field_of_view,
    landmarks,
    transitional,
)
from verse_eval.measures import MEASURES, all_identified, all_right, mean
from verse_eval.naming import linearly_weighted_kappa, one_level_shift
from verse_eval.scan_scores import ScanScore, VertebraScore
from verse_infer.anatomy import CRANIOCAUDAL_LABELS, name_of, region_of

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
