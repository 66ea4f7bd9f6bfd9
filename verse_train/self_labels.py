"""Stage 3 learns the look of real bone: masks that its network answers on real CTs, those it is sure of.

Self-training: scans with centroids but without masks get the masks of a network that learned on
synthetic intensities; a second training learns from those too. A vertebra counts as sure where the
network answers the same to the picture and to its mirror image (vertebrae are nearly symmetric, the
arithmetic is not), and where nobody who looked at the picture rejected it.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import name_of
from verse_infer.ct import Centroid, Ct
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.preview import render_preview
from verse_infer.networks import Network
from verse_infer.segmentation import Response, crop_lattice, largest_piece, merged, vertebra_crops
from verse_train.datasets import AnnotatedScan
from verse_train.preparation import prepared_scan
from verse_train.prepared import save_prepared

logger = logging.getLogger(__name__)
#: Least Dice of the answers to a picture and to its mirror image.
LEAST_AGREEMENT = 0.9


def self_label(
    scan: AnnotatedScan, network: Network, cache: Path, rejected: Collection[int] = ()
) -> Path | None:
    """The scan as a prepared case with masks of its sure vertebrae, and a picture beside it.

    rejected: labels that a look at the picture found wrong. Vertebrae without a mask are no targets.
    None if no vertebra is left.
    """
    spacing = network.weights.spacing_mm
    case = prepared_scan(scan, spacing, network.weights.smoothing_mm, whole=False)
    answers = list(answers_to(read_ct(scan.ct), case.centroids, network))
    sure = {
        answer.label: answer
        for answer, agreement in answers
        if _is_sure(scan, answer.label, agreement) and answer.label not in rejected
    }
    mask = merged(sure.values(), case.lattice, network.weights.threshold)
    kept = tuple(c for c in case.centroids if c.label in sure)
    labelled = replace(case, mask=mask, centroids=kept)
    picture = render_preview(Ct(case.hu, case.lattice), mask, labelled.centroids)
    cache.mkdir(parents=True, exist_ok=True)
    picture.save(cache / f"{scan.name}.png")
    path = cache / f"{scan.name}.npz"
    if not labelled.centroids:
        path.unlink(missing_ok=True)  # of an earlier look
        return None
    save_prepared(path, labelled)
    return path


def answers_to(
    ct: Ct, centroids: Sequence[Centroid], network: Network
) -> Iterator[tuple[Response, float]]:
    """Mean response to each vertebra and its mirror image, and the Dice of the two, 0 to 1."""
    for centroid in centroids:
        image = vertebra_crops(ct, [centroid], network)
        plain = network.run_batch(image)[0, ..., 0]
        mirrored = network.run_batch(image[:, :, :, ::-1])[0, :, :, ::-1, 0]
        threshold = network.weights.threshold
        piece = largest_piece((plain + mirrored) * np.float32(0.5), threshold)
        if piece is not None:
            lattice = crop_lattice(centroid, network).part(piece[0])
            agreement = _dice(plain > threshold, mirrored > threshold)
            yield Response(centroid.label, piece[1], lattice), agreement


def _is_sure(scan: AnnotatedScan, label: int, agreement: float) -> bool:
    sure = agreement >= LEAST_AGREEMENT
    verdict = "kept" if sure else "left out"
    logger.info("%s %s: agreement %.3f, %s", scan.name, name_of(label), agreement, verdict)
    return sure


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 0.0
