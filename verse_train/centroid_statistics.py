"""Mean offsets between neighbouring vertebrae, from the centroids of real scans.

`python -m verse_train.centroid_statistics LANDMARKS_DIR` prints the table that stands in
verse_infer/anatomy.py (MEAN_OFFSETS_MM). LANDMARKS_DIR holds verse2019_landmarks.csv and
verse2020_landmarks.csv of github.com/christianpayer/MedicalDataAugmentationTool-VerSe (facts
derived from VerSe, CC BY-SA 4.0): one line per scan, its id and x, y, z in mm for each heatmap
channel, nan where absent; the axes are those of LPS.
"""

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, LABELS, label_of, name_of

#: Centroids of one scan: VerSe label to x, y, z in LPS mm, head to foot.
Scan = Mapping[int, NDArray[np.float64]]
#: Two neighbouring vertebrae, the one nearer to the head first.
Edge = tuple[int, int]

#: Edges of rare anatomies and the regular edges that resemble them: T12 or T13 stand between a
#: thoracic and a lumbar vertebra, so the steps around T12 and L1 tell what to expect.
_RESEMBLING: Mapping[tuple[str, str], Sequence[tuple[str, str]]] = {
    ("T11", "L1"): (("T11", "T12"), ("T12", "L1")),
    ("T12", "T13"): (("T12", "L1"),),
    ("T13", "L1"): (("T12", "L1"), ("L1", "L2")),
}
#: The mean of the resembling edges weighs as much as this many observed scans. Two tilted scans
#: alone would state a sideways step of 3 mm where anatomy has none.
_PRIOR_SCANS = 5


@dataclass(frozen=True, slots=True)
class OffsetStatistics:
    """Vectors from one vertebra to the next: number of scans, mean and SD; x, y, z in LPS mm."""

    count: int
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def read_landmarks(path: Path) -> dict[str, Scan]:
    """Scans of one CSV file by their id; ValueError if a line has no whole triples of numbers."""
    with path.open(newline="") as file:
        return {row[0]: _scan(row[1:]) for row in csv.reader(file) if row}


def _scan(numbers: Sequence[str]) -> Scan:
    points = np.array([float(number) for number in numbers]).reshape(-1, 3)
    by_label = dict(zip(LABELS, points, strict=False))  # VerSe'19 has no channel for T13
    return {
        label: by_label[label]
        for label in CRANIOCAUDAL_LABELS
        if label in by_label and not np.isnan(by_label[label]).any()
    }


def read_unique_scans(folder: Path) -> dict[str, Scan]:
    """Every scan of both challenges once, by its first id.

    VerSe'20 took over scans of VerSe'19, renamed ("verse403_verse255_CT-sag" was "verse255") and
    annotated anew, with the body's centre as centroid. Those count once, as VerSe'20 has them.
    """
    older = read_landmarks(folder / "verse2019_landmarks.csv")
    newer = read_landmarks(folder / "verse2020_landmarks.csv")
    return {_first_id(name): scan for name, scan in (older | newer).items()}


def _first_id(name: str) -> str:
    ids = re.findall(r"verse\d+", name)
    return ids[-1] if ids else name


def offset_statistics(scans: Iterable[Scan]) -> dict[Edge, OffsetStatistics]:
    """Offsets between vertebrae that follow each other in a scan, in head-to-foot order."""
    offsets: defaultdict[Edge, list[NDArray[np.float64]]] = defaultdict(list)
    for scan in scans:
        labels = list(scan)
        for edge in pairwise(labels):
            offsets[edge].append(scan[edge[1]] - scan[edge[0]])
    rank = CRANIOCAUDAL_LABELS.index
    return {
        edge: OffsetStatistics(
            len(offsets[edge]),
            np.mean(offsets[edge], axis=0),
            np.std(offsets[edge], axis=0, ddof=1 if len(offsets[edge]) > 1 else 0),
        )
        for edge in sorted(offsets, key=lambda edge: (rank(edge[0]), rank(edge[1])))
    }


def expected_offsets(
    statistics: Mapping[Edge, OffsetStatistics],
) -> dict[Edge, NDArray[np.float64]]:
    """Mean offset of every edge; rare ones are drawn towards the regular edges like them."""
    expected = {edge: observed.mean for edge, observed in statistics.items()}
    for names, resembling in _RESEMBLING.items():
        edge = (label_of(names[0]), label_of(names[1]))
        if edge not in statistics:
            continue
        prior = np.mean(
            [statistics[label_of(upper), label_of(lower)].mean for upper, lower in resembling],
            axis=0,
        )
        count = statistics[edge].count
        expected[edge] = (count * statistics[edge].mean + _PRIOR_SCANS * prior) / (
            count + _PRIOR_SCANS
        )
    return expected


def format_table(statistics: Mapping[Edge, OffsetStatistics]) -> str:
    """The lines of anatomy.MEAN_OFFSETS_MM, with the number of scans and the SD as comments."""
    lines = []
    for (upper, lower), mean in expected_offsets(statistics).items():
        observed = statistics[upper, lower]
        mean_text = ", ".join(f"{value + 0.0:.1f}" for value in np.round(mean, 1))
        sd_text = ", ".join(f"{value:.1f}" for value in observed.sd)
        entry = f'("{name_of(upper)}", "{name_of(lower)}"): ({mean_text}),'
        lines.append(f"{entry}  # {observed.count} scans, SD {sd_text}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description="Mean offsets between neighbouring vertebrae.")
    parser.add_argument("landmarks", type=Path, help="folder with the two landmark CSV files")
    folder = parser.parse_args(argv).landmarks
    print(format_table(offset_statistics(read_unique_scans(folder).values())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
