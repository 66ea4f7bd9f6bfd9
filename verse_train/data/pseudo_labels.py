"""Annotations that nobody made: scans are labelled by networks, to train further ones on.

Stage 3 (self_label): scans with centroids but without masks get the masks of a network that learned on
synthetic intensities, so that the next learns the look of real bone. A vertebra counts as sure where the
network answers the same to the picture and to its mirror image (vertebrae are nearly symmetric, the
arithmetic is not), and where nobody who looked at the picture rejected it.

Stages 1 and 2 (self_annotate): scans that nobody annotated get the container's own answers, made regular. A
vertebra found a few millimetres too high, or not at all, stands between others that were found. Their
places along a spine change smoothly from one to the next, so a low polynomial of the vertebra's number
through all of them evens out single answers. Names are kept as they are: they err together, and only who
looks at the picture can tell (--reject).
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of, name_of
from verse_infer.batch.discovery import find_cases
from verse_infer.ct import Centroid, Ct
from verse_infer.errors import InputError
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.preview import render_preview
from verse_infer.grid import Lattice
from verse_infer.networks import Network
from verse_infer.segmentation import Response, crop_lattice, largest_piece, merged, vertebra_crops
from verse_infer.weights import SegmentationWeights
from verse_train.data.datasets import AnnotatedScan
from verse_train.data.preparation import prepared_scan
from verse_train.data.prepared import PreparedCase, save_prepared

logger = logging.getLogger(__name__)
#: Least Dice of the answers to a picture and to its mirror image.
LEAST_AGREEMENT = 0.9


def self_label(
    scan: AnnotatedScan,
    network: Network[SegmentationWeights],
    cache: Path,
    rejected: Collection[int] = (),
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
    ct: Ct, centroids: Sequence[Centroid], network: Network[SegmentationWeights]
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


Points = NDArray[np.float64]
#: Highest degree of the polynomial, of short spines and of long ones from this many bodies; and how many
#: more bodies there must be than its degree.
_DEGREE, _DEGREE_OF_LONG, _LONG = 4, 6, 14
_SPARE = 3
#: Farthest that an answer may lie from the polynomial, mm: half a cervical vertebra; and the most
#: vertebrae that may be missing between the first and the last.
MOST_DEVIATION_MM = 6.0
MOST_MISSING = 1


def answered_scans(data: Path, answers: Path) -> list[AnnotatedScan]:
    """Scans of a folder in any of the container's layouts that have its centroids.

    answers: the container's output for the folder `data`. InputError if there is none.
    """
    cases = find_cases(data, answers, "verse")
    answered = [case for case in cases if case.outputs.centroids.exists()]
    if not answered:
        raise InputError(f"{answers}: expected centroids of the scans of {data}")
    logger.info("%d of %d scans have centroids", len(answered), len(cases))
    return [
        AnnotatedScan(_name(case.path), case.path, case.outputs.centroids, "verse")
        for case in answered
    ]


def _name(ct: Path) -> str:
    return ct.name.split(".nii")[0].removesuffix("_ct").removeprefix("sub-")


def self_annotate(
    scans: Sequence[AnnotatedScan],
    spacing_mm: float,
    smoothing_mm: float,
    cache: Path,
    *,
    whole: bool,
    left_out: Collection[str] = (),
) -> list[Path]:
    """The regular ones of the scans as prepared cases, and a picture of each beside it.

    whole: as in prepare_scan. left_out: names of scans that a look at their picture found wrong, or
    that are held out. What an earlier look left in the cache for a scan that is not kept now, goes.
    """
    cache.mkdir(parents=True, exist_ok=True)
    kept = []
    for scan in scans:
        path = cache / f"{scan.name}_{spacing_mm:g}mm.npz"
        case = None
        if scan.name not in left_out:
            case = _regular(prepared_scan(scan, spacing_mm, smoothing_mm, whole=whole))
        if case is None:
            logger.info("%s: %s", scan.name, "left out" if scan.name in left_out else "not regular")
            path.unlink(missing_ok=True)
            continue
        picture = render_preview(Ct(case.hu, case.lattice), None, case.centroids)
        picture.save(path.with_suffix(".png"))
        save_prepared(path, case)
        kept.append(path)
    return kept


def _regular(case: PreparedCase) -> PreparedCase | None:
    """The case with smoothed centroids.

    Those beyond its ends, cut or not found, are neither targets nor errors of stage 2; as with
    annotated scans, the spine of stage 1 goes on to them.
    """
    answers = sorted(case.centroids, key=lambda c: CRANIOCAUDAL_LABELS.index(c.label))
    # C1 has no body: its centroid lies behind the line of the others.
    bodies = [centroid for centroid in answers if centroid.label != label_of("C1")]
    line = regular_line(bodies)
    if line is None:
        return None
    upper = tuple(c for c in answers if c not in bodies)
    beyond = tuple(
        c for c in _beyond(line, case.lattice) if c.label not in {u.label for u in upper}
    )
    return replace(case, centroids=upper + line, cut=beyond)


def regular_line(bodies: Sequence[Centroid]) -> tuple[Centroid, ...] | None:
    """Smoothed centroids of all vertebrae from the first to the last of the bodies, head to foot.

    None if one of the bodies lies too far from the line, if too many are missing between, or if
    there are too few for a curve. A T12 between T11 and L1 is never filled in: some have none.
    """
    numbers = np.array([CRANIOCAUDAL_LABELS.index(c.label) for c in bodies])
    highest = _DEGREE if len(bodies) < _LONG else _DEGREE_OF_LONG
    degree = min(highest, len(bodies) - _SPARE)
    if degree < 2:
        return None
    found = {c.label for c in bodies}
    labels = _column(numbers[0], numbers[-1], found)
    missing = set(labels) - found
    if len(missing) > MOST_MISSING or label_of("T12") in missing:
        return None
    places = np.array([labels.index(c.label) for c in bodies], np.float64)
    points = np.array([c.point for c in bodies])
    scale = max(len(labels) - 1, 1)
    factors = np.polyfit(places / scale, points, degree)
    line = np.vander(np.arange(len(labels)) / scale, degree + 1) @ factors
    if np.linalg.norm(points - line[places.astype(int)], axis=1).max() > MOST_DEVIATION_MM:
        return None
    return tuple(Centroid(label, _point(p)) for label, p in zip(labels, line, strict=True))


def _column(first: int, last: int, found: Collection[int]) -> list[int]:
    """Labels from the first to the last, head to foot; T13 and L6 only where found."""
    rare = {label_of("T13"), label_of("L6")} - set(found)
    return [label for label in CRANIOCAUDAL_LABELS[first : last + 1] if label not in rare]


def _beyond(line: Sequence[Centroid], lattice: Lattice) -> tuple[Centroid, ...]:
    """Where the next vertebrae above and below would be, two of each, as far as they are in the scan."""
    found = {centroid.label for centroid in line}
    column = _column(0, len(CRANIOCAUDAL_LABELS) - 1, found)
    first, last = column.index(line[0].label), column.index(line[-1].label)
    places = []
    for ends, labels in (
        ((line[0], line[1]), column[max(first - 2, 0) : first][::-1]),
        ((line[-1], line[-2]), column[last + 1 : last + 3]),
    ):
        end, inner = (np.array(centroid.point) for centroid in ends)
        places += [(label, end + (i + 1) * (end - inner)) for i, label in enumerate(labels)]
    return tuple(
        Centroid(label, _point(place))
        for label, place in places
        if ((index := lattice.index(place)) >= 0).all() and (index < lattice.size).all()
    )


def _point(values: Points) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
