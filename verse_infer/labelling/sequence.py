"""Labelling as in VerSe 2019: the heaviest plausible sequence between a first and a last vertebra.

Payer et al., VerSe 2019 report, section 2.2: the first (last) vertebra in view is that of the
largest response near the scan's top (bottom); between them runs the sequence of heatmap maxima
whose steps lie between 12.5 and 50 mm and never lead upwards. The thresholds, the fallback for
the ends and the appending of further vertebrae are those of the published code.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, MEAN_OFFSETS_MM
from verse_infer.ct import Centroid
from verse_infer.labelling.paths import FloatArray, Layer, PathGraph, steps
from verse_infer.labelling.rules import SequenceRule

_RANK: Mapping[int, int] = {label: rank for rank, label in enumerate(CRANIOCAUDAL_LABELS)}


def label_by_sequence(
    candidates: Sequence[Centroid],
    z_range: tuple[float, float],
    rule: SequenceRule | None = None,
) -> tuple[Centroid, ...]:
    """The sequence of the largest sum of responses, head to foot; empty if no vertebra shows.

    candidates: local maxima of all heatmaps, in any order; label = vertebra of the heatmap.
    z_range: LPS z of the scan's bottom and top, mm.
    rule: the rule's numbers, SequenceRule() if None.

    Each label comes at most once, z decreases strictly; a label without a fitting candidate is
    left out.
    """
    rule = rule or SequenceRule()
    usable = [c for c in candidates if c.response > rule.secondary_factor * rule.threshold]
    ends = _end_labels(usable, z_range, rule)
    if ends is None:
        return ()
    first, last = (_RANK[label] for label in ends)
    layers = [
        Layer.of(label, (c for c in usable if c.label == label))
        for label in CRANIOCAUDAL_LABELS[first : last + 1]
    ]
    rewards = [layer.responses for layer in layers]
    graph = PathGraph.of(layers, rewards, lambda upper, lower: _step_gain(upper, lower, rule))
    return _append(graph.best()[0], usable, rule)


def _end_labels(
    candidates: Sequence[Centroid], z_range: tuple[float, float], rule: SequenceRule
) -> tuple[int, int] | None:
    """Labels of the first and the last vertebra, or None if no heatmap shows its vertebra."""
    bottom, top = z_range
    run = _longest_run({c.label for c in candidates if c.response > rule.threshold}, rule)
    first = _strongest(candidates, rule, lambda z: top - z)
    last = _strongest(candidates, rule, lambda z: z - bottom)
    if not run:
        return None
    ends = run[0] if first is None else first, run[-1] if last is None else last
    return ends if _RANK[ends[0]] <= _RANK[ends[1]] else (run[0], run[-1])


def _strongest(
    candidates: Sequence[Centroid], rule: SequenceRule, depth_mm: Callable[[float], float]
) -> int | None:
    near = [
        candidate
        for candidate in candidates
        if candidate.response >= rule.end_threshold
        and depth_mm(candidate.point[2]) <= rule.end_margin_mm
    ]
    strongest = max(near, key=lambda c: (c.response, -_RANK[c.label]), default=None)
    return None if strongest is None else strongest.label


def _longest_run(shown: set[int], rule: SequenceRule) -> list[int]:
    """The longest list of shown labels that may follow each other; the upper one of equals."""
    runs: list[list[int]] = []
    for label in sorted(shown, key=_RANK.__getitem__):
        if runs and _are_neighbours(runs[-1][-1], label, rule):
            runs[-1].append(label)
        else:
            runs.append([label])
    return max(runs, key=len, default=[])


def _are_neighbours(upper: int, lower: int, rule: SequenceRule) -> bool:
    if rule.with_variants:
        return (upper, lower) in MEAN_OFFSETS_MM
    return lower - upper == 1  # C1 to L6 carry the labels 1 to 25


def _step_gain(upper: Layer, lower: Layer, rule: SequenceRule) -> FloatArray:
    """0 for possible steps, -inf for others; (n, m)."""
    vectors = steps(upper, lower)
    length = np.linalg.norm(vectors, axis=-1)
    possible = (length > rule.min_distance_mm) & (length < rule.max_distance_mm)
    return np.where(possible & (vectors[..., 2] < 0), 0.0, -np.inf)


def _append(
    path: tuple[Centroid, ...], candidates: Sequence[Centroid], rule: SequenceRule
) -> tuple[Centroid, ...]:
    """The path prolonged at both ends by vertebrae that show at a usual distance."""
    shown = [candidate for candidate in candidates if candidate.response > rule.threshold]
    while fitting := [c for c in shown if _joins(path[-1], c, rule)]:
        path = (*path, max(fitting, key=_strength))
    while fitting := [c for c in shown if _joins(c, path[0], rule)]:
        path = (max(fitting, key=_strength), *path)
    return path


def _joins(upper: Centroid, lower: Centroid, rule: SequenceRule) -> bool:
    vector = np.subtract(lower.point, upper.point)
    return (
        _are_neighbours(upper.label, lower.label, rule)
        and bool(vector[2] < 0)
        and rule.min_append_mm <= float(np.linalg.norm(vector)) <= rule.max_append_mm
    )


def _strength(candidate: Centroid) -> tuple[float, tuple[float, float, float]]:
    return candidate.response, candidate.point
