"""The numbers of the labelling rules, as the weights state them; a misspelt one is an error."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class ChainRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of the chain model; the first four as published for VerSe 2020.

    The limits and response_floor are additions; ChainRule(max_deviation=inf, min_distance_mm=0,
    max_missing=0) is the published formula, but for z, which always decreases.

    threshold: candidates need a response above it.
    weight: λ, share of the heatmaps against the geometry.
    bias: b, reward of every vertebra on the path.
    neighbour_factor: factor on the response of candidates borrowed from the previous or next
        vertebra of the same type.
    max_deviation: a step must not deviate from its mean vector by this many of its lengths; b would
        outweigh the P of any step up to 1.3 and join false maxima at the ends. The largest
        deviation between true neighbours of the 141 scans is 0.95.
    min_distance_mm: nearer maxima of two heatmaps belong to the same vertebra, which would
        otherwise come twice at an end, as b outweighs P = −(1 − λ) of a zero step. The nearest
        true neighbours of those scans are 10.8 mm apart.
    max_missing: so many vertebrae in a row may lack a usable candidate. With 0, as published, one
        such vertebra cuts the chain or shifts the labels beyond it.
    response_floor: h below it counts as nothing, and U takes λ (1 − log(h + floor) / log floor)
        instead of λ h: 0 at h = 0, about λ at h = 1. So a name is all but excluded where its
        heatmap is near zero, whatever the geometry, and 0.4 against 0.6 decides little. 0: λ h.
    rarity_weight: a step that only rare anatomy has (anatomy.RARE_STEPS) costs this times the
        negative logarithm of its share of scans. Where responses count by their logarithm, λ over
        that of the floor gives anatomy and responses the same weight.
    max_gap_deviation: limit of a step over missing vertebrae, in mean lengths of one vertebra. In
        those scans 95 % of the true steps over one vertebra deviate by less than 0.67, and every
        step to the very next vertebra, mistaken for a step over one, by at least 0.75.
    open_end_cost: a path that begins below C1 or ends above L5 with room for another vertebra beyond
        pays this for each such end. It may rename vertebrae, and it may leave out a single one; it
        never costs several. 0: as published.
    open_end_mm: room is the mean step to the next vertebra and this much.
    """

    threshold: NotNegative = 0.05
    weight: Share = 0.2
    bias: float = 2.0
    neighbour_factor: NotNegative = 0.1
    max_deviation: Positive = 1.0
    min_distance_mm: NotNegative = 7.5
    max_missing: Annotated[int, Meta(ge=0, le=5)] = 1
    response_floor: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    rarity_weight: NotNegative = 0.0
    max_gap_deviation: Positive = 0.7
    open_end_cost: NotNegative = 0.0
    open_end_mm: NotNegative = 25.0


class SequenceRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers of the sequence rule, as published for VerSe 2019.

    threshold: a heatmap with a larger response shows its vertebra.
    secondary_factor: candidates for the sequence need a response above this factor × threshold.
    end_threshold, end_margin_mm: the first (last) vertebra is that of the largest response of at
        least end_threshold within end_margin_mm (15 voxels of 2 mm) of the scan's top (bottom).
    min_distance_mm, max_distance_mm: exclusive limits of a step of the sequence.
    min_append_mm, max_append_mm: limits of a step to a vertebra appended at an end.
    with_variants: where neighbours count, of the longest run and at appending, those around a
        thirteenth thoracic or a missing T12 are neighbours, too. Not so in the published method,
        which knows 25 vertebrae in one order.
    """

    threshold: NotNegative = 0.25
    secondary_factor: NotNegative = 0.1
    end_threshold: NotNegative = 0.5
    end_margin_mm: NotNegative = 30.0
    min_distance_mm: NotNegative = 12.5
    max_distance_mm: Positive = 50.0
    min_append_mm: NotNegative = 15.0
    max_append_mm: Positive = 35.0
    with_variants: bool = True


class BodyCandidates(Struct, frozen=True, forbid_unknown_fields=True):
    """How bodies are found; the weights' numbers, as they depend on how sharp the heatmaps are.

    threshold: a maximum of the sum of all heatmaps above it is a body.
    faint_share, faint_total: where all bodies of a scan are faint, those above this share of the
        median of the five surest, but not below half the threshold, are bodies if together they
        exceed faint_total: a spine that the network is unsure of, not a few maxima beside one. With
        a share of 0 the threshold alone decides.
    sure_threshold: where not even the surest body exceeds it, none counts unless all together
        exceed faint_total; 0 where a single faint body may count.
    body_distance_mm: of bodies nearer than this the highest counts; overlapping tiles that disagree
        make two of one. The nearest neighbours of 141 VerSe scans are 10.8 mm apart.
    lone_threshold, lone_distance_mm: where bodies are so close that the sum joins them, a single
        heatmap's maximum above lone_threshold and further than lone_distance_mm from all bodies is
        a candidate, too.
    """

    threshold: NotNegative = 0.3
    faint_share: Share = 0.0
    faint_total: NotNegative = 2.0
    sure_threshold: NotNegative = 0.0
    body_distance_mm: NotNegative = 10.0
    lone_threshold: NotNegative = 0.25
    lone_distance_mm: NotNegative = 8.0


LabellingRule = SequenceRule | ChainRule
RuleName = Literal["chain", "sequence"]


class Labelling(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """rule: which of the two the weights are made for. chain, sequence: the numbers of each."""

    rule: RuleName = "chain"
    chain: ChainRule = ChainRule()
    sequence: SequenceRule = SequenceRule()

    def chosen(self, wanted: RuleName | None = None) -> LabellingRule:
        """The rule that the user wants, or else the weights' own, with the weights' numbers for it."""
        return self.sequence if (wanted or self.rule) == "sequence" else self.chain
