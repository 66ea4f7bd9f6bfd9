"""Compare the container's results with a known truth, in figures and in pictures of what differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_eval.grids import read_label_map
from verse_eval.measures import MEASURES
from verse_eval.pairs import CaseFiles, pair_cases
from verse_eval.scan_scores import ScanScore
from verse_eval.scoring import score_folders
from verse_eval.summaries import REGIONS
from verse_infer.anatomy import name_of, region_of
from verse_infer.ct import Centroid, SourceCt, SourceGeometry, from_source, to_source, turn_onto
from verse_infer.errors import InputError
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.preview import render_preview
from verse_infer.files.verse import read_centroids


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scan with its scores."""

    score: ScanScore

    @property
    def name(self) -> str:
        """Of the scan."""
        return self.score.name

    @property
    def total(self) -> int:
        """Number of annotated vertebrae."""
        return len(self.score.vertebrae)

    @property
    def hits(self) -> int:
        """Number of vertebrae identified within 20 mm."""
        return sum(bool(v.identified) for v in self.score.vertebrae)

    @property
    def distances(self) -> dict[int, float]:
        """By label, mm, of the vertebrae that both have."""
        return {v.label: v.distance_mm for v in self.score.vertebrae if not np.isnan(v.distance_mm)}

    @property
    def missed(self) -> tuple[str, ...]:
        """Names of annotated vertebrae that were not found."""
        return tuple(name_of(v.label) for v in self.score.vertebrae if v.centroid_missing)

    @property
    def extra(self) -> tuple[str, ...]:
        """Names of vertebrae found that the scan does not show."""
        return tuple(name_of(label) for label in self.score.extra)

    @property
    def mean_dice(self) -> float:
        """Mean over the vertebrae of the truth; nan without a mask."""
        return MEASURES["dice"].of(self.score)


def compare(truth: Path, output: Path) -> list[Comparison]:
    """Every annotated scan below `truth` with its result below `output`, wherever it lies there.

    InputError where a result is missing or cannot be read.
    """
    scores = score_folders("container", truth, output)
    for name, problem in scores.problems.items():
        raise InputError(f"{name}: expected a result below {output}, {problem}")
    return [Comparison(score) for score in scores.scans]


def summary(comparisons: list[Comparison]) -> str:
    """A line per scan, one for each region of the spine, and one for all."""
    lines = []
    for one in comparisons:
        mean = MEASURES["d_mean_mm"].of(one.score)
        line = f"{one.name}: {one.hits} of {one.total} identified, mean distance {mean:.1f} mm"
        if not np.isnan(one.mean_dice):
            line += f", mean Dice {one.mean_dice:.3f}"
        if one.missed:
            line += f", missed {' '.join(one.missed)}"
        if one.extra:
            line += f", extra {' '.join(one.extra)}"
        lines.append(line)
    vertebrae = [v for c in comparisons for v in c.score.vertebrae]
    for region in REGIONS:
        found = [bool(v.identified) for v in vertebrae if region_of(v.label) == region]
        if found:
            lines.append(f"{region}: {sum(found)} of {len(found)} identified")
    total, hits = sum(c.total for c in comparisons), sum(c.hits for c in comparisons)
    distances = [d for c in comparisons for d in c.distances.values() if d <= 20.0]
    line = (
        f"all: id.rate {100 * hits / total:.1f} % ({hits} of {total}), mean distance of those "
        f"within 20 mm {np.mean(distances) if distances else float('nan'):.2f} mm"
    )
    dice = [v.dice for v in vertebrae if not np.isnan(v.dice)]
    if dice:
        line += f", mean Dice of a vertebra {np.mean(dice):.3f}"
    lines.append(line)
    return "\n".join(lines)


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
