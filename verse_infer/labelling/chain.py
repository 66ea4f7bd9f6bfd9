"""Labelling as in VerSe 2020: a Markov random field on the chain of vertebrae, solved exactly.

Sekuboyina et al. 2021 (VerSe benchmark), Payer's VerSe'20 entry, equations 3 and 4: among all
paths over candidates (vertebra i, candidate k) take the one that maximises ΣU + ΣP, with

    U(i, k)       = λ h_ik + b
    P(i, k; j, l) = (1 − λ) (1 − 2 ‖d̄_ij − d_kl‖² / ‖d̄_ij‖²)

h the response of the heatmap, d̄_ij the mean vector from vertebra i to its successor j, d_kl the
vector between the two candidates. b = 2 pays for every vertebra, so that the path does not end
where a step is somewhat unusual.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from verse_infer.anatomy import (
    CRANIOCAUDAL_LABELS,
    MEAN_OFFSETS_MM,
    RARE_STEPS,
    label_of,
    same_type_neighbours,
    successors_of,
)
from verse_infer.ct import Centroid
from verse_infer.labelling.paths import FloatArray, Layer, PathGraph, steps
from verse_infer.labelling.rules import ChainRule


@dataclass(frozen=True, slots=True)
class _Edge:
    """A way from one label down to another.

    mean: vector, mm. missing: number of vertebrae left out. rarity: sum of the negative logarithms
    of the shares of scans that have its rare steps.
    """

    mean: FloatArray
    missing: int
    rarity: float


def label_by_chain(
    candidates: Sequence[Centroid],
    rule: ChainRule | None = None,
    searched: tuple[float, float] = (np.inf, -np.inf),
) -> tuple[Centroid, ...]:
    """The best labelled sequence of vertebrae, head to foot; empty if none gains anything.

    candidates: local maxima of all heatmaps, in any order; label = vertebra of the heatmap.
    rule: the model's numbers, ChainRule() if None. searched: LPS z of the bottom and top of what was
    searched for candidates, mm; without it no end is known to be in view.

    Each label comes at most once, z decreases strictly. A borrowed candidate carries its response
    times neighbour_factor. Any subset of labels is possible that steps of anatomy.MEAN_OFFSETS_MM
    join, L6, T13 and a missing T12 included.
    """
    return _chosen(candidates, rule or ChainRule(), searched)[0]


def _chosen(
    candidates: Sequence[Centroid], rule: ChainRule, searched: tuple[float, float]
) -> tuple[tuple[Centroid, ...], float, PathGraph]:
    """The path, its sum, and the graph in which it is the best."""
    layers = _layers(candidates, rule)
    graph = _graph(layers, rule, searched)
    path, total = graph.best()
    if not rule.open_end_cost:
        return path, total, graph
    # An end in view may rename vertebrae; it must not cost any, as where few of them were found.
    # But a single one with room for others is none: beside the spine nothing else is found.
    free = _graph(layers, structs.replace(rule, open_end_cost=0.0), searched)
    longer, sum_of_longer = free.best()
    if len(path) >= len(longer) or len(longer) == 1:
        return path, total, graph
    return longer, sum_of_longer, free


@dataclass(frozen=True, slots=True)
class Naming:
    """A labelled sequence and how far it stands above its rivals.

    vertebrae: head to foot. margins: for each, how much the best path that gives its body another name
    falls behind, in the units of the sum. rival: the nearest of these paths; empty where there is none.
    """

    vertebrae: tuple[Centroid, ...]
    margins: tuple[float, ...]
    rival: tuple[Centroid, ...]

    @property
    def margin(self) -> float:
        """The least of the margins; inf where nothing else is possible."""
        return min(self.margins, default=np.inf)


def name_by_chain(
    candidates: Sequence[Centroid],
    rule: ChainRule,
    searched: tuple[float, float] = (np.inf, -np.inf),
) -> Naming:
    """As label_by_chain, with the margins to the best sequences that name one of the bodies otherwise.

    Candidates of one body have the same point and different labels.
    """
    path, total, graph = _chosen(candidates, rule, searched)
    through = graph.through()
    margins, rival = [], (np.inf, -1, -1)
    for vertebra in path:
        nearest = (np.inf, -1, -1)
        for place, (layer, sums) in enumerate(zip(graph.layers, through, strict=True)):
            same = np.flatnonzero((layer.points == vertebra.point).all(axis=1))
            if layer.label != vertebra.label and len(same):
                index = int(same[sums[same].argmax()])
                nearest = min(nearest, (total - float(sums[index]), place, index))
        margins.append(nearest[0])
        rival = min(rival, nearest)
    found = graph.path_through(rival[1], rival[2]) if rival[1] >= 0 else ()
    return Naming(path, tuple(margins), found)


def _graph(layers: Sequence[Layer], rule: ChainRule, searched: tuple[float, float]) -> PathGraph:
    rewards = [rule.weight * _worth(layer.responses, rule) + rule.bias for layer in layers]
    cost = rule.open_end_cost
    starts = [np.where(_open_above(layer, searched[1], rule), -cost, 0.0) for layer in layers]
    ends = [np.where(_open_below(layer, layers, searched[0], rule), -cost, 0.0) for layer in layers]
    return PathGraph.of(
        layers, rewards, lambda upper, lower: _step_gain(upper, lower, rule), starts, ends
    )


def _open_above(layer: Layer, top: float, rule: ChainRule) -> NDArray[np.bool_]:
    """Which candidates have room for a vertebra above them; (n,), none of C1."""
    rises = [-step[2] for (_, lower), step in MEAN_OFFSETS_MM.items() if lower == layer.label]
    room = max(rises, default=np.inf) + rule.open_end_mm
    return np.asarray(layer.points[:, 2] + room < top)


def _open_below(
    layer: Layer, layers: Sequence[Layer], bottom: float, rule: ChainRule
) -> NDArray[np.bool_]:
    """Which candidates have room for a vertebra below them; (n,), none of L6.

    Below L5 room is not enough: a candidate for L6 must be there.
    """
    falls = [-MEAN_OFFSETS_MM[layer.label, lower][2] for lower in successors_of(layer.label)]
    room = max(falls, default=np.inf) + rule.open_end_mm
    has_room = np.asarray(layer.points[:, 2] - room > bottom)
    if layer.label != label_of("L5"):
        return has_room
    gain = _step_gain(layer, layers[CRANIOCAUDAL_LABELS.index(label_of("L6"))], rule)
    return has_room & (False if gain is None else np.isfinite(gain).any(axis=1))


def _worth(responses: FloatArray, rule: ChainRule) -> FloatArray:
    """What responses count, about 0 to 1."""
    if rule.response_floor <= 0:
        return responses
    return np.asarray(1 - np.log(responses + rule.response_floor) / np.log(rule.response_floor))


def _layers(candidates: Sequence[Centroid], rule: ChainRule) -> list[Layer]:
    own: defaultdict[int, list[Centroid]] = defaultdict(list)
    for candidate in candidates:
        if candidate.response > rule.threshold:
            own[candidate.label].append(candidate)
    return [
        Layer.of(label, [*own[label], *_borrowed(label, own, rule)])
        for label in CRANIOCAUDAL_LABELS
    ]


def _borrowed(label: int, own: Mapping[int, list[Centroid]], rule: ChainRule) -> list[Centroid]:
    return [
        Centroid(label, candidate.point, candidate.response * rule.neighbour_factor)
        for neighbour in same_type_neighbours(label)
        for candidate in own.get(neighbour, ())
    ]


def _step_gain(upper: Layer, lower: Layer, rule: ChainRule) -> FloatArray | None:
    """P of all steps between two layers, (n, m); the best if several mean vectors join them."""
    edges = _edges(rule.max_missing).get((upper.label, lower.label))
    if edges is None or not len(lower.points):
        return None
    vectors = steps(upper, lower)
    possible = (vectors[..., 2] < 0) & (np.linalg.norm(vectors, axis=-1) > rule.min_distance_mm)
    gains = [_gain_along(vectors, edge, rule) for edge in edges]
    return np.where(possible, np.max(gains, axis=0), -np.inf)


def _gain_along(vectors: FloatArray, edge: _Edge, rule: ChainRule) -> FloatArray:
    # Over missing vertebrae the mean length of one of them remains the measure: a spine without
    # a gap then deviates by a whole length.
    length = float(np.linalg.norm(edge.mean)) / (edge.missing + 1)
    deviation = np.linalg.norm(vectors - edge.mean, axis=-1) / length
    limit = rule.max_gap_deviation if edge.missing else rule.max_deviation
    potential = (1 - rule.weight) * (1 - 2 * deviation**2)
    return np.where(deviation < limit, potential - rule.rarity_weight * edge.rarity, -np.inf)


@cache
def _edges(max_missing: int) -> Mapping[tuple[int, int], tuple[_Edge, ...]]:
    """All ways between labels a path may join."""
    found: defaultdict[tuple[int, int], list[_Edge]] = defaultdict(list)

    def extend(start: int, end: int, mean: FloatArray, missing: int, rarity: float) -> None:
        for below in successors_of(end):
            total = mean + np.asarray(MEAN_OFFSETS_MM[end, below])
            rare = rarity - float(np.log(RARE_STEPS.get((end, below), 1.0)))
            found[start, below].append(_Edge(total, missing, rare))
            if missing < max_missing:
                extend(start, below, total, missing + 1, rare)

    for label in CRANIOCAUDAL_LABELS:
        extend(label, label, np.zeros(3), 0, 0.0)
    return MappingProxyType({way: tuple(edges) for way, edges in found.items()})
