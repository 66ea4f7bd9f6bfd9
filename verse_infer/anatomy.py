"""The vertebrae: names, VerSe labels, order of heatmap channels, regions. Stated once, here.

VerSe labels (https://github.com/anjany/verse): 1-7 = C1-C7, 8-19 = T1-T12, 20-25 = L1-L6,
28 = T13. 26 (sacrum) and 27 (coccyx) are never predicted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

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

_LABEL_OF: Mapping[str, int] = MappingProxyType(dict(zip(VERTEBRAE, LABELS, strict=True)))
_NAME_OF: Mapping[int, str] = MappingProxyType(dict(zip(LABELS, VERTEBRAE, strict=True)))

#: VerSe labels from head to foot: T13 stands between T12 and L1.
CRANIOCAUDAL_LABELS: tuple[int, ...] = (*range(1, 20), 28, *range(20, 26))


def label_of(name: str) -> int:
    """VerSe label of a vertebra name such as "L1"; KeyError if there is no such vertebra."""
    return _LABEL_OF[name]


def name_of(label: int) -> str:
    """Vertebra name of a VerSe label such as 20; KeyError if there is no such label."""
    return _NAME_OF[label]


def region_of(label: int) -> Region:
    """Spinal region of a VerSe label; KeyError if there is no such label."""
    return {"C": "cervical", "T": "thoracic", "L": "lumbar"}[name_of(label)[0]]  # type: ignore[return-value]
