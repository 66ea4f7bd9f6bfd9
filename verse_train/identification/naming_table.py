"""Names right by region, field of view, length and slice thickness: one table over annotated scans."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from verse_eval.scan_scores import ScanScore, VertebraScore
from verse_eval.scoring import score_folders
from verse_infer.anatomy import label_of, region_of
from verse_infer.grid import grid_geometry
from verse_train.data.datasets import find_scans

#: Levels by which a reader knows where he is; S1 is in view where the lowest vertebra is L5 or L6.
ANCHORS = ("C2", "T1", "T12")
#: Upper ends of groups: length of a scan and thickness of its slices, mm.
LENGTHS_MM, THICKNESSES_MM = (150.0, 200.0, 300.0, np.inf), (2.0, 4.0, np.inf)


@dataclass(frozen=True, slots=True)
class ScoredScan:
    """A scan's score, its length along the spine, and the thickness of its slices, mm."""

    score: ScanScore
    length_mm: float
    thickness_mm: float

    @property
    def right(self) -> bool:
        """Whether all of its vertebrae are named and placed right."""
        return all(v.identified for v in self.score.vertebrae)

    @property
    def empty(self) -> bool:
        """Whether nothing was found at all."""
        return all(v.centroid_missing for v in self.score.vertebrae) and not self.score.extra

    @property
    def anchors(self) -> str:
        """Which of the anchors are in view."""
        labels = {*self.score.labels, *self.score.cut}
        seen = [name for name in ANCHORS if label_of(name) in labels]
        lumbar = labels & {label_of("L5"), label_of("L6")}
        return " ".join([*seen, *(["S1"] if lumbar else [])]) or "none"


def scored_scans(truth: Path, output: Path) -> list[ScoredScan]:
    """Every annotated scan of a data set with a whole vertebra, and the container's result for it."""
    scores = {score.name: score for score in score_folders("container", truth, output).scans}
    scored = []
    for scan in find_scans(truth):
        score = scores[scan.name]
        if score.vertebrae or score.cut:
            image: Any = nib.load(scan.ct)
            geometry = grid_geometry(image.affine, image.shape[:3])
            z = geometry.lattice.corners()[:, 2]
            scored.append(ScoredScan(score, float(np.ptp(z)), geometry.lattice.spacing[2]))
    return scored


def naming_table(scans: Sequence[ScoredScan]) -> str:
    """Lines of group, vertebrae right, scans all right; and over all the distance and completeness."""
    lines = [f"{'':24}{'vertebrae':>18}{'scans all right':>20}"]
    whole = [scan for scan in scans if scan.score.vertebrae]
    for title, group_of in _GROUPS:
        for name in _in_order(group_of(scan) for scan in whole):
            lines.append(_line(f"{title} {name}", [s for s in whole if group_of(s) == name]))
    for region in ("cervical", "thoracic", "lumbar"):
        found = [v for s in whole for v in s.score.vertebrae if region_of(v.label) == region]
        if found:
            lines.append(f"{region:24}{_share(sum(map(_right, found)), len(found)):>18}")
    lines.append(_line("all", whole))
    distances = [v.distance_mm for s in whole for v in s.score.vertebrae if _right(v)]
    mean = float(np.mean(distances)) if distances else float("nan")
    lines.append(
        f"mean distance {mean:.2f} mm; scans without any vertebra {sum(s.empty for s in whole)}"
    )
    lines.append(f"whole or cut told right: {_completeness(scans)}")
    return "\n".join(lines)


def _up_to(value: float, ends: Sequence[float]) -> str:
    end = next(e for e in ends if value <= e)
    return f"up to {end:g} mm" if np.isfinite(end) else f"over {ends[-2]:g} mm"


_GROUPS: tuple[tuple[str, Callable[[ScoredScan], str]], ...] = (
    ("length", lambda scan: _up_to(scan.length_mm, LENGTHS_MM)),
    ("slices", lambda scan: _up_to(scan.thickness_mm, THICKNESSES_MM)),
    ("in view", lambda scan: scan.anchors),
)


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=lambda name: (name.startswith("over"), name))


def _line(title: str, scans: Sequence[ScoredScan]) -> str:
    vertebrae = [v for scan in scans for v in scan.score.vertebrae]
    right = _share(sum(map(_right, vertebrae)), len(vertebrae))
    return f"{title:24}{right:>18}{_share(sum(s.right for s in scans), len(scans)):>20}"


def _right(vertebra: VertebraScore) -> bool:
    return bool(vertebra.identified)


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} {100 * part / max(whole, 1):.1f} %"


def _completeness(scans: Sequence[ScoredScan]) -> str:
    """Whole vertebrae that were reported, whatever their name, and cut ones that were not."""
    whole = [v for s in scans for v in s.score.vertebrae]
    kept = sum(v.assigned is not None for v in whole)
    cut = sum(len(s.score.cut) for s in scans)
    left_out = cut - sum(len(s.score.cut_reported) for s in scans)
    total = _share(kept + left_out, len(whole) + cut)
    return f"{total} (whole {_share(kept, len(whole))}, cut {_share(left_out, cut)})"
