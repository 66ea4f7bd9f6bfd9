"""Compare the container's results with a known truth: the sample's, or any annotated data set's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from verse_eval.case_scoring import score_folders
from verse_eval.measures import MEASURES
from verse_eval.scan_scores import ScanScore
from verse_eval.summaries import REGIONS
from verse_infer.anatomy import name_of, region_of
from verse_infer.errors import InputError


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
