"""Candidates at vertebral bodies: where a vertebra is, told apart from which one it is.

In a short-trained network the heatmaps of neighbouring vertebrae overlap. Each by itself then has
its maximum between two bodies, while their sum still has one on each. So the places are the
maxima of the sum, and each place is a candidate for every vertebra, with what that heatmap
answers there; the labelling rule decides which it is.
"""

from collections.abc import Sequence

import numpy as np

from verse_infer.ct import Centroid
from verse_infer.labelling.rules import BodyCandidates
from verse_infer.landmarks import Heatmaps, find_bodies, find_candidates, responses_at


def find_body_candidates(
    heatmaps: Heatmaps, min_distance: int, rule: BodyCandidates
) -> tuple[Centroid, ...]:
    """Every body as a candidate for every vertebra, and lone maxima; LPS mm.

    min_distance: see find_candidates. A body's response for a vertebra is the largest of that
    heatmap within one voxel of the body; candidates with a response of 0 are left out.
    """
    bodies = _bodies(heatmaps, min_distance, rule)
    if not bodies:
        return ()
    named = [candidate for body in bodies for candidate in _named(body, heatmaps)]
    lone = find_candidates(heatmaps, rule.lone_threshold, min_distance)
    return (*named, *(c for c in lone if _nearest_mm(c, bodies) > rule.lone_distance_mm))


def _bodies(heatmaps: Heatmaps, min_distance: int, rule: BodyCandidates) -> list[Centroid]:
    """Maxima of the sum of all heatmaps, the surest first."""
    least = rule.threshold if not rule.faint_share else rule.threshold / 2
    bodies: list[Centroid] = []
    for maximum in sorted(find_bodies(heatmaps, least, min_distance), key=lambda c: -c.response):
        if _nearest_mm(maximum, bodies) > rule.body_distance_mm:
            bodies.append(maximum)
    threshold = _threshold(bodies, rule)
    kept = [body for body in bodies if body.response > threshold]
    if kept and kept[0].response < rule.sure_threshold:
        return kept if sum(body.response for body in kept) > rule.faint_total else []
    return kept


def _threshold(bodies: Sequence[Centroid], rule: BodyCandidates) -> float:
    """What a body of this scan must exceed; bodies: the surest first."""
    if not bodies or not rule.faint_share:
        return rule.threshold
    faint = rule.faint_share * float(np.median([body.response for body in bodies[:5]]))
    total = sum(body.response for body in bodies if body.response > faint)
    return min(faint, rule.threshold) if total > rule.faint_total else rule.threshold


def _named(body: Centroid, heatmaps: Heatmaps) -> list[Centroid]:
    return [
        Centroid(label, body.point, float(response))
        for label, response in zip(heatmaps.labels, responses_at(heatmaps, body.point), strict=True)
        if response > 0
    ]


def _nearest_mm(candidate: Centroid, bodies: Sequence[Centroid]) -> float:
    points = np.array([body.point for body in bodies]).reshape(-1, 3)
    distances = np.linalg.norm(points - candidate.point, axis=1)
    return float(distances.min(initial=np.inf))
