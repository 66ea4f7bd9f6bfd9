"""From heatmap maxima to one labelled sequence: the two published rules and what they share."""

from collections.abc import Sequence

from verse_infer.ct import Centroid
from verse_infer.labelling.chain import label_by_chain
from verse_infer.labelling.rules import ChainRule, Labelling, LabellingRule, SequenceRule
from verse_infer.labelling.sequence import label_by_sequence

__all__ = [
    "ChainRule",
    "Labelling",
    "LabellingRule",
    "SequenceRule",
    "drop_near_ends",
    "label_by_chain",
    "label_by_sequence",
    "label_candidates",
]


def label_candidates(
    candidates: Sequence[Centroid],
    z_range: tuple[float, float],
    rule: LabellingRule,
    searched: tuple[float, float] | None = None,
) -> tuple[Centroid, ...]:
    """The labelled sequence by whichever rule this is; see the rules' own functions.

    z_range: LPS z of the scan's bottom and top, mm. searched: of the part of it that candidates
    were searched in; None: all.
    """
    if isinstance(rule, SequenceRule):
        return label_by_sequence(candidates, z_range, rule)
    return label_by_chain(candidates, rule, searched or z_range)


def drop_near_ends(
    centroids: Sequence[Centroid], z_range: tuple[float, float], margin_mm: float
) -> tuple[Centroid, ...]:
    """Without the centroids nearer than margin_mm to the scan's bottom or top.

    VerSe leaves vertebrae unannotated that the scan cuts. z_range: LPS z of bottom and top, mm.
    """
    bottom, top = z_range
    return tuple(
        centroid
        for centroid in centroids
        if bottom + margin_mm <= centroid.point[2] <= top - margin_mm
    )
