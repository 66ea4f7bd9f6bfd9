"""Pictures of results that differ from a known truth: both with their names, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_eval.case_pairs import CaseFiles, pair_cases
from verse_eval.label_maps import read_label_map
from verse_infer.ct import Centroid, SourceCt, SourceGeometry, from_source, to_source, turn_onto
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.preview import render_preview
from verse_infer.files.verse import read_centroids
from verse_train.check import Comparison


def write_pictures(
    truth: Path, output: Path, folder: Path, comparisons: Sequence[Comparison]
) -> list[Path]:
    """A picture NAME.png in folder of each scan with a missed, misnamed or false vertebra.

    Annotated centroids are green, their names on the left; the result's are white, on the right.
    truth, output: the folders the comparisons are of. InputError or CentroidFileError where a CT
    or a centroid file cannot be read. Scans without a CT below truth have none.
    """
    wrong = {c.name for c in comparisons if c.hits < c.total or c.extra}
    paths = []
    for pair in pair_cases(truth, output)[0]:
        if pair.name not in wrong or not pair.reference.cts or pair.prediction is None:
            continue
        ct = read_ct(pair.reference.cts[0])
        found, true = (_centroids(files, ct.source) for files in (pair.prediction, pair.reference))
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(folder / f"{pair.name}.png")
        render_preview(ct, _mask(pair.prediction, ct), found, true).save(paths[-1])
    return paths


def _centroids(files: CaseFiles, source: SourceGeometry) -> tuple[Centroid, ...]:
    return read_centroids(files.centroids, source) if files.centroids else ()


def _mask(files: CaseFiles, ct: SourceCt) -> NDArray[np.uint8] | None:
    """The mask, z, y, x; None without one on the CT's own grid."""
    if files.mask is None:
        return None
    label_map, grid = read_label_map(files.mask)
    try:
        turn = turn_onto(grid.source, ct.source)
    except ValueError:
        return None
    return from_source(turn.applied(to_source(label_map.labels, grid.source)), ct.source)
