"""The vertebrae: names, VerSe labels, order of heatmap channels, regions. Stated once, here.

VerSe labels (https://github.com/anjany/verse): 1-7 = C1-C7, 8-19 = T1-T12, 20-25 = L1-L6,
28 = T13. 26 (sacrum) and 27 (coccyx) are never predicted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

Region = Literal["cervical", "thoracic", "lumbar"]

#: Heatmap channel i of stage 2 belongs to VERTEBRAE[i]; T13 comes last, as in the 2020 method.
VERTEBRAE: tuple[str, ...] = (
    *(f"C{i}" for i in range(1, 8)),
    *(f"T{i}" for i in range(1, 13)),
    *(f"L{i}" for i in range(1, 7)),
    "T13",
)

#: VerSe label of each heatmap channel, in the order of VERTEBRAE.
LABELS: tuple[int, ...] = (*range(1, 26), 28)

#: Labels of what stands below the vertebrae: sacrum and coccyx. Never predicted; passed over where they
#: are annotated.
NO_VERTEBRAE: tuple[int, ...] = (26, 27)

_LABEL_OF: Mapping[str, int] = MappingProxyType(dict(zip(VERTEBRAE, LABELS, strict=True)))
_NAME_OF: Mapping[int, str] = MappingProxyType(dict(zip(LABELS, VERTEBRAE, strict=True)))

#: VerSe labels from head to foot: T13 stands between T12 and L1.
CRANIOCAUDAL_LABELS: tuple[int, ...] = (*range(1, 20), 28, *range(20, 26))

#: Mean vector from a vertebra's centroid to that of the next one towards the feet; x, y, z in mm,
#: LPS. Its keys are all the pairs that may follow each other, variants included: T12 missing
#: (T11 to L1), a thirteenth thoracic and a sixth lumbar vertebra. A missing or sacralised L5 needs
#: no pair, the spine just ends at L4. Computed over 141 scans by verse_train.centroid_statistics
#: from the landmark files of github.com/christianpayer/MedicalDataAugmentationTool-VerSe (facts
#: derived from VerSe, CC BY-SA 4.0); that module says how pairs seen in few scans are treated.
_MEAN_OFFSETS_BY_NAME: dict[tuple[str, str], tuple[float, float, float]] = {
    ("C1", "C2"): (0.1, 3.0, -16.4),  # 27 scans, SD 2.0, 3.8, 2.5
    ("C2", "C3"): (0.5, 1.6, -17.8),  # 27 scans, SD 2.4, 3.8, 1.9
    ("C3", "C4"): (0.3, 2.6, -15.1),  # 29 scans, SD 1.9, 3.2, 2.4
    ("C4", "C5"): (0.4, 3.8, -14.9),  # 29 scans, SD 1.7, 3.8, 2.5
    ("C5", "C6"): (-0.1, 5.0, -14.4),  # 33 scans, SD 1.7, 4.1, 2.8
    ("C6", "C7"): (-0.4, 8.3, -14.7),  # 36 scans, SD 1.5, 4.0, 3.5
    ("C7", "T1"): (-0.2, 9.5, -15.5),  # 49 scans, SD 1.9, 3.3, 2.7
    ("T1", "T2"): (0.2, 9.7, -18.1),  # 60 scans, SD 2.0, 3.2, 2.3
    ("T2", "T3"): (-0.1, 10.1, -19.2),  # 63 scans, SD 2.1, 2.8, 2.4
    ("T3", "T4"): (-0.5, 8.5, -20.2),  # 60 scans, SD 1.7, 2.7, 2.0
    ("T4", "T5"): (-1.2, 6.4, -21.5),  # 57 scans, SD 1.5, 2.6, 1.9
    ("T5", "T6"): (-1.0, 4.7, -22.6),  # 55 scans, SD 1.4, 2.4, 1.9
    ("T6", "T7"): (-0.4, 2.4, -23.3),  # 55 scans, SD 1.3, 2.6, 2.1
    ("T7", "T8"): (0.3, -0.2, -23.9),  # 57 scans, SD 1.7, 2.2, 1.7
    ("T8", "T9"): (0.4, -1.6, -24.7),  # 59 scans, SD 1.8, 2.1, 1.7
    ("T9", "T10"): (0.7, -3.0, -25.1),  # 74 scans, SD 2.6, 3.0, 1.9
    ("T10", "T11"): (-0.4, -4.5, -26.8),  # 86 scans, SD 2.4, 2.9, 2.5
    ("T11", "T12"): (0.1, -5.3, -29.0),  # 89 scans, SD 2.3, 2.6, 2.2
    ("T11", "L1"): (0.1, -4.7, -30.2),  # 3 scans, SD 1.5, 2.2, 2.0
    ("T12", "T13"): (0.8, -5.4, -31.1),  # 2 scans, SD 3.5, 2.5, 0.4
    ("T12", "L1"): (0.0, -5.6, -30.8),  # 93 scans, SD 2.7, 2.9, 2.9
    ("T13", "L1"): (1.0, -7.1, -32.0),  # 2 scans, SD 2.6, 3.9, 1.7
    ("L1", "L2"): (-0.1, -7.6, -32.0),  # 108 scans, SD 2.3, 3.1, 3.0
    ("L2", "L3"): (-0.2, -6.0, -33.2),  # 111 scans, SD 3.0, 3.2, 2.8
    ("L3", "L4"): (-0.3, -2.1, -33.4),  # 110 scans, SD 3.1, 4.3, 3.0
    ("L4", "L5"): (-0.8, 4.6, -30.7),  # 107 scans, SD 3.3, 5.6, 3.8
    ("L5", "L6"): (-0.1, 7.8, -28.9),  # 16 scans, SD 3.5, 5.4, 2.7
}

#: The same by VerSe label: MEAN_OFFSETS_MM[20, 21] leads from L1 to L2.
MEAN_OFFSETS_MM: Mapping[tuple[int, int], tuple[float, float, float]] = MappingProxyType(
    {
        (_LABEL_OF[upper], _LABEL_OF[lower]): offset
        for (upper, lower), offset in _MEAN_OFFSETS_BY_NAME.items()
    }
)


#: Share of the 113 scans of VerSe 2020 (github.com/christianpayer/MedicalDataAugmentationTool-VerSe)
#: whose spines have these steps, which regular ones have not: no T12, T13, L6.
RARE_STEPS: Mapping[tuple[int, int], float] = MappingProxyType(
    {(18, 20): 3 / 113, (19, 28): 2 / 113, (24, 25): 16 / 113}
)


def label_of(name: str) -> int:
    """VerSe label of a vertebra name such as "L1"; KeyError if there is no such vertebra."""
    return _LABEL_OF[name]


def name_of(label: int) -> str:
    """Vertebra name of a VerSe label such as 20; KeyError if there is no such label."""
    return _NAME_OF[label]


def region_of(label: int) -> Region:
    """Spinal region of a VerSe label; KeyError if there is no such label."""
    return {"C": "cervical", "T": "thoracic", "L": "lumbar"}[name_of(label)[0]]  # type: ignore[return-value]


def successors_of(label: int) -> tuple[int, ...]:
    """Labels that may stand next below a vertebra, the rare variants included."""
    return tuple(lower for upper, lower in MEAN_OFFSETS_MM if upper == label)


def usual_distance_mm(upper: int, lower: int) -> float | None:
    """How far apart two vertebrae of an adult are, by the shortest chain of mean offsets; mm.

    None unless lower stands somewhere below upper.
    """
    reached = {upper: np.zeros(3)}
    while lower not in reached:
        following = {
            below: place + MEAN_OFFSETS_MM[above, below]
            for above, place in reached.items()
            for below in successors_of(above)
        }
        if not following:
            return None
        reached = following
    return float(np.linalg.norm(reached[lower])) or None


def same_type_neighbours(label: int) -> tuple[int, ...]:
    """Labels of the previous and the next vertebra of the same region; KeyError if unknown."""
    region = [other for other in CRANIOCAUDAL_LABELS if region_of(other) == region_of(label)]
    place = region.index(label)
    return tuple(region[max(place - 1, 0) : place] + region[place + 1 : place + 2])


#: Region of each entry of LABELS as a row of (cervical, thoracic, lumbar), one of them 1.
REGIONS_OF_LABELS: tuple[tuple[float, float, float], ...] = tuple(
    (
        float(region_of(label) == "cervical"),
        float(region_of(label) == "thoracic"),
        float(region_of(label) == "lumbar"),
    )
    for label in LABELS
)
