"""A training case as it lies in the cache: one volume on an axis-aligned isotropic lattice.

Real and synthetic CTs look the same from here on. Each file is an uncompressed .npz, because reading
it is part of every training step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import Centroid
from verse_infer.files.atomic import atomic_write
from verse_infer.grid import Lattice


@dataclass(frozen=True, slots=True)
class PreparedCase:
    """One scan at the resolution of one stage.

    name, patient: folds are made by patient.
    hu: int16, z, y, x. mask: uint8 VerSe labels on the same lattice, or None if there is none.
    centroids: vertebrae that are targets. cut: vertebrae that the scan cuts; neither targets nor
        errors. Both LPS mm.
    lattice: axis-aligned, isotropic.
    """

    name: str
    patient: str
    hu: NDArray[np.int16]
    mask: NDArray[np.uint8] | None
    centroids: tuple[Centroid, ...]
    cut: tuple[Centroid, ...]
    lattice: Lattice


def save_prepared(path: Path, case: PreparedCase) -> None:
    """Write one case; the file appears under its name only when whole."""
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            name=np.array(case.name),
            patient=np.array(case.patient),
            hu=case.hu,
            mask=np.zeros(0, np.uint8) if case.mask is None else case.mask,
            centroids=_as_table(case.centroids),
            cut=_as_table(case.cut),
            origin=np.array(case.lattice.origin),
            spacing=np.array(case.lattice.spacing),
        )


def load_prepared(path: Path) -> PreparedCase:
    """Read what save_prepared wrote."""
    with np.load(path, allow_pickle=False) as stored:
        hu = stored["hu"]
        origin, spacing = (tuple(map(float, stored[key])) for key in ("origin", "spacing"))
        mask = stored["mask"]
        return PreparedCase(
            name=str(stored["name"]),
            patient=str(stored["patient"]),
            hu=hu,
            mask=mask if mask.size else None,
            centroids=_from_table(stored["centroids"]),
            cut=_from_table(stored["cut"]),
            lattice=Lattice(origin, spacing, hu.shape[::-1]),  # type: ignore[arg-type]
        )


def _as_table(centroids: Sequence[Centroid]) -> NDArray[np.float64]:
    return np.array([(c.label, *c.point) for c in centroids], np.float64).reshape(-1, 4)


def _from_table(table: NDArray[np.float64]) -> tuple[Centroid, ...]:
    return tuple(Centroid(int(row[0]), (row[1], row[2], row[3])) for row in table.tolist())
