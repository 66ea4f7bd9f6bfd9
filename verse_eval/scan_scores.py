"""All scores of one scan, from annotation and prediction in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verse_eval.grids import GRID_MM, LabelMap, evaluation_lattice, on_common_grid
from verse_eval.metrics import (
    OverlapTable,
    SurfaceDistances,
    distances_mm,
    identified,
    label_distances,
    match_vertebrae,
    overlap_table,
)
from verse_infer.anatomy import CRANIOCAUDAL_LABELS
from verse_infer.ct import Centroid

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is known, or predicted, about a scan; None: not annotated, or not predicted at all.

    cut: centroids of vertebrae that the scan cuts; finding one is no error, missing it neither.
    """

    centroids: tuple[Centroid, ...] | None = None
    mask: LabelMap | None = None
    cut: tuple[Centroid, ...] = ()


@dataclass(frozen=True, slots=True)
class Tasks:
    """Which tasks a team takes part in: one without any centroid file, say, has no labelling."""

    labelling: bool = True
    segmentation: bool = True


@dataclass(frozen=True, slots=True)
class VertebraScore:
    """Scores of one annotated vertebra.

    label: VerSe label. identified, identified_by_text, identified_by_glocker: the rules of
    localisation.IdentificationRule; None where the scan has no centroid to compare with or the team
    no labelling. distance_mm: to the true centroid; nan where missing. dice: 0 where missing, nan
    where not evaluated. hd_mm, hd95_mm, assd_mm: Hausdorff distance, its 95th percentile, average
    symmetric surface distance; nan where missing or not evaluated. assigned: label of the predicted
    vertebra that lies here (matching), None where none does.
    """

    label: int
    identified: bool | None = None
    identified_by_text: bool | None = None
    identified_by_glocker: bool | None = None
    distance_mm: float = NAN
    dice: float = NAN
    hd_mm: float = NAN
    hd95_mm: float = NAN
    assd_mm: float = NAN
    assigned: int | None = None

    @property
    def centroid_missing(self) -> bool:
        """Is there a true centroid and no predicted one?"""
        return self.identified is not None and bool(np.isnan(self.distance_mm))

    @property
    def mask_missing(self) -> bool:
        """Is there a true mask and no predicted voxel?"""
        return not np.isnan(self.dice) and bool(np.isnan(self.hd_mm))


@dataclass(frozen=True, slots=True)
class ScanScore:
    """Scores of one scan; from these all others are computed (measures, summaries).

    vertebrae: the annotated ones, from head to foot. extra, extra_in_mask: labels with a centroid,
    with voxels, that the scan does not show. cut: labels that the scan cuts; cut_reported: those of
    them that the prediction holds to be whole. problem: why nothing, or not all, was predicted.
    """

    name: str
    vertebrae: tuple[VertebraScore, ...]
    extra: tuple[int, ...] = ()
    extra_in_mask: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()
    cut_reported: tuple[int, ...] = ()
    problem: str | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Annotated labels."""
        return tuple(v.label for v in self.vertebrae)

    @property
    def matched(self) -> dict[int, int]:
        """Label of the predicted vertebra that lies on the true one, by true label."""
        return {v.label: v.assigned for v in self.vertebrae if v.assigned is not None}


def score_scan(
    name: str,
    reference: Annotation,
    prediction: Annotation,
    tasks: Tasks | None = None,
    problem: str | None = None,
) -> ScanScore:
    """Compare a prediction with the truth.

    Vertebrae with a true centroid count; without true centroids, those with true voxels. What has
    voxels but no centroid is cut by the scan: the VerSe data annotate whole vertebrae only.
    Distances are in mm on the 1 mm grid over the reference's field of view.
    """
    tasks = tasks or Tasks()
    table, surfaces = _compare_masks(reference, prediction, tasks)
    whole, cut = _annotated(reference, table)
    found = prediction.centroids or ()
    in_mask = table.in_prediction() if table else frozenset()
    matched = match_vertebrae(
        table if prediction.mask else None, (*(reference.centroids or ()), *reference.cut), found
    )
    places = _centroid_scores(reference.centroids or (), found) if tasks.labelling else {}
    vertebrae = [
        replace(
            _with_mask_scores(places.get(label, VertebraScore(label)), table, surfaces),
            assigned=matched.get(label),
        )
        for label in _sorted(whole)
    ]
    return ScanScore(
        name,
        tuple(vertebrae),
        extra=_sorted({c.label for c in found} - whole - cut),
        extra_in_mask=_sorted(in_mask - whole - cut),
        cut=_sorted(cut),
        cut_reported=_sorted(cut & matched.keys()),
        problem=problem,
    )


def _annotated(
    reference: Annotation, table: OverlapTable | None
) -> tuple[frozenset[int], frozenset[int]]:
    """Labels of whole and of cut vertebrae."""
    in_mask = table.in_reference() if table else frozenset()
    if reference.centroids is None:
        return in_mask, frozenset()
    whole = frozenset(c.label for c in reference.centroids)
    return whole, (in_mask | {c.label for c in reference.cut}) - whole


def _compare_masks(
    reference: Annotation, prediction: Annotation, tasks: Tasks
) -> tuple[OverlapTable | None, Mapping[int, SurfaceDistances]]:
    """The overlap of all labels and the surface distances of those in the reference."""
    if reference.mask is None or not tasks.segmentation:
        return None, {}
    maps = [one for one in (reference.mask, prediction.mask) if one is not None]
    truth, *rest = on_common_grid(maps, evaluation_lattice(reference.mask.lattice))
    found = rest[0] if rest else np.zeros_like(truth)
    table = overlap_table(truth, found)
    wanted = _sorted(_annotated(reference, table)[0] & table.in_reference())
    return table, label_distances(truth, found, wanted, (GRID_MM, GRID_MM, GRID_MM))


def _with_mask_scores(
    score: VertebraScore, table: OverlapTable | None, surfaces: Mapping[int, SurfaceDistances]
) -> VertebraScore:
    if table is None or score.label not in surfaces:
        return score
    distances = surfaces[score.label]
    return replace(
        score,
        dice=table.dice(score.label),
        hd_mm=distances.hausdorff(),
        hd95_mm=distances.hausdorff95(),
        assd_mm=distances.average_symmetric(),
    )


def _centroid_scores(
    reference: Sequence[Centroid], found: Sequence[Centroid]
) -> dict[int, VertebraScore]:
    distances = distances_mm(reference, found)
    challenge, text, glocker = (
        identified(reference, found, "challenge"),
        identified(reference, found, "text"),
        identified(reference, found, "glocker"),
    )
    return {
        k: VertebraScore(k, k in challenge, k in text, k in glocker, distances.get(k, NAN))
        for k in (c.label for c in reference)
    }


def _sorted(labels: Collection[int]) -> tuple[int, ...]:
    return tuple(sorted(labels, key=CRANIOCAUDAL_LABELS.index))
