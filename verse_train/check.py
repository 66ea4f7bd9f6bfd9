"""Compare the container's results with a known truth: the sample's, or any annotated data set's."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from verse_eval.localisation import distances_mm, identified
from verse_eval.overlap import dice_per_label
from verse_infer.anatomy import name_of
from verse_infer.ct_reading import read_ct
from verse_infer.errors import InputError
from verse_infer.output_names import output_names
from verse_infer.verse_files import read_centroids
from verse_train.datasets import AnnotatedScan, find_scans


@dataclass(frozen=True, slots=True)
class Comparison:
    """One scan. distances: mm by label, of labels both have. dice: by label of the truth, empty
    without a mask. missed, extra: names. hits: number identified within 20 mm."""

    name: str
    total: int
    hits: int
    distances: dict[int, float]
    dice: dict[int, float]
    missed: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def mean_dice(self) -> float:
        """Mean over the vertebrae of the truth; nan without a mask."""
        return float(np.mean(list(self.dice.values()))) if self.dice else float("nan")


def compare(truth: Path, output: Path) -> list[Comparison]:
    """Every annotated scan below `truth` with its result below `output` (verse convention)."""
    return [_compare(scan, truth, output) for scan in find_scans(truth)]


def _compare(scan: AnnotatedScan, root: Path, output: Path) -> Comparison:
    base = root / "rawdata" if (root / "rawdata").is_dir() else root
    names = output_names(scan.ct.relative_to(base), output, "verse")
    source = read_ct(scan.ct).source
    if source is None:
        raise InputError(f"{scan.ct}: expected a CT with the geometry of its file")
    wanted = read_centroids(scan.centroids, source, scan.convention)
    found = read_centroids(names.centroids, source, "verse")
    allowed = read_centroids(scan.cut, source, "verse") if scan.cut else ()
    dice = {}
    if scan.mask:
        labels = {c.label for c in wanted}
        reference, prediction = (
            np.asarray(nib.load(path).dataobj).astype(np.uint8) for path in (scan.mask, names.mask)
        )
        dice = {k: v for k, v in dice_per_label(reference, prediction).items() if k in labels}
    known = {c.label for c in (*wanted, *allowed)}
    distances = dict(distances_mm(wanted, found))
    return Comparison(
        scan.name,
        len(wanted),
        len(identified(wanted, found)),
        distances,
        dice,
        tuple(name_of(c.label) for c in wanted if c.label not in distances),
        tuple(name_of(c.label) for c in found if c.label not in known),
    )


def summary(comparisons: list[Comparison]) -> str:
    """A line per scan, and one for all."""
    lines = []
    for one in comparisons:
        mean = np.mean(list(one.distances.values())) if one.distances else float("nan")
        line = f"{one.name}: {one.hits} of {one.total} identified, mean distance {mean:.1f} mm"
        if one.dice:
            line += f", mean Dice {one.mean_dice:.3f}"
        if one.missed:
            line += f", missed {' '.join(one.missed)}"
        if one.extra:
            line += f", extra {' '.join(one.extra)}"
        lines.append(line)
    total, hits = sum(c.total for c in comparisons), sum(c.hits for c in comparisons)
    distances = [d for c in comparisons for d in c.distances.values() if d <= 20.0]
    lines.append(
        f"all: id.rate {100 * hits / total:.1f} % ({hits} of {total}), mean distance of those "
        f"within 20 mm {np.mean(distances) if distances else float('nan'):.2f} mm"
    )
    return "\n".join(lines)
