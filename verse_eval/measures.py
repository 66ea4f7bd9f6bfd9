"""The measures of a scan, each stated once: name, title, unit, direction, and how it is computed.

All are means over the scan's annotated vertebrae unless they say otherwise; nan where a scan has
nothing to average.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from verse_eval.scan_scores import ScanScore

#: Distances in place of those of a missing vertebra in the VerSe'19 ranking, mm (Sekuboyina et al.
#: 2021, appendix A.1).
MISSING_CENTROID_MM = 1000.0
MISSING_MASK_MM = 100.0


@dataclass(frozen=True, slots=True)
class Measure:
    """name: key in files. title, unit: for people. better: direction. of: value of a scan."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    of: Callable[[ScanScore], float]

    @property
    def heading(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def mean(values: Iterable[float | bool | None]) -> float:
    """Mean of what is neither None nor nan; nan where nothing is left."""
    kept = [float(v) for v in values if v is not None and not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")


def _id_rate(scan: ScanScore) -> float:
    return mean(v.identified for v in scan.vertebrae)


def _id_rate_by_text(scan: ScanScore) -> float:
    return mean(v.identified_by_text for v in scan.vertebrae)


def _d_mean(scan: ScanScore) -> float:
    return mean(v.distance_mm for v in scan.vertebrae)


def _d_mean_penalised(scan: ScanScore) -> float:
    return mean(
        MISSING_CENTROID_MM if v.centroid_missing else v.distance_mm for v in scan.vertebrae
    )


def _dice(scan: ScanScore) -> float:
    return mean(v.dice for v in scan.vertebrae)


def _hd(scan: ScanScore) -> float:
    return mean(v.hd_mm for v in scan.vertebrae)


def _hd_penalised(scan: ScanScore) -> float:
    return mean(MISSING_MASK_MM if v.mask_missing else v.hd_mm for v in scan.vertebrae)


def _hd95(scan: ScanScore) -> float:
    return mean(v.hd95_mm for v in scan.vertebrae)


def _assd(scan: ScanScore) -> float:
    return mean(v.assd_mm for v in scan.vertebrae)


def _label_accuracy(scan: ScanScore) -> float:
    return mean(v.assigned == v.label for v in scan.vertebrae)


#: The first four are the benchmark's, missing vertebrae ignored in the distances; `penalised` ones
#: count missing vertebrae by the VerSe'19 ranking's rule.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("id_rate", "id.rate", "", "higher", _id_rate),
        Measure("d_mean_mm", "d_mean", "mm", "lower", _d_mean),
        Measure("dice", "Dice", "", "higher", _dice),
        Measure("hd_mm", "HD", "mm", "lower", _hd),
        Measure("hd95_mm", "HD 95 %", "mm", "lower", _hd95),
        Measure("assd_mm", "ASSD", "mm", "lower", _assd),
        Measure("d_mean_penalised_mm", "d_mean, 1000 if missing", "mm", "lower", _d_mean_penalised),
        Measure("hd_penalised_mm", "HD, 100 if missing", "mm", "lower", _hd_penalised),
        Measure("id_rate_by_text", "id.rate, paper's text", "", "higher", _id_rate_by_text),
        Measure("label_accuracy", "label accuracy", "", "higher", _label_accuracy),
    )
}


def all_identified(scan: ScanScore) -> bool:
    """Is every annotated vertebra identified (the paper's id.rate of 100 %)?"""
    return _id_rate(scan) == 1.0


def all_right(scan: ScanScore) -> bool:
    """Is every annotated vertebra identified, and none reported that the scan does not show?"""
    return all_identified(scan) and not scan.extra
