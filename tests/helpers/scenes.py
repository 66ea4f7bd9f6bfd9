"""Small scans that can be counted by hand: boxes as vertebrae, on disk and in memory."""

import json
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from verse_eval.grids import LabelMap
from verse_eval.scan_scores import ScanScore, VertebraScore
from verse_eval.scoring import TeamScores
from verse_infer.ct import Centroid
from verse_infer.grid import Lattice

L1, L2, L3 = 20, 21, 22


def lattice_of(shape, spacing=(1.0, 1.0, 1.0)):
    """An axis-aligned lattice for an array of shape z, y, x; spacing x, y, z."""
    return Lattice((0.0, 0.0, 0.0), spacing, (shape[2], shape[1], shape[0]))


def label_map(labels, spacing=(1.0, 1.0, 1.0)):
    labels = np.asarray(labels, np.uint8)
    return LabelMap(labels, lattice_of(labels.shape, spacing))


def boxes(shape, places: Mapping[int, tuple]):
    """Zeros with a box per label; places: label to (z, y, x) ranges as pairs."""
    labels = np.zeros(shape, np.uint8)
    for label, ranges in places.items():
        labels[tuple(slice(*pair) for pair in ranges)] = label
    return labels


def centroids(**millimetres_up):
    """Centroids on one axis: L1=30.0 lies at z 30; keywords are names of vertebrae."""
    from verse_infer.anatomy import label_of

    return tuple(Centroid(label_of(k), (0.0, 0.0, z)) for k, z in millimetres_up.items())


def scan(name="a", *vertebrae, **fields):
    return ScanScore(name, tuple(vertebrae), **fields)


def vertebra(label, right=True, **fields):
    """A vertebra that was identified, or not, by every rule."""
    fields = {"distance_mm": 1.0, "dice": 0.9, "hd_mm": 2.0, "assigned": label, **fields}
    return VertebraScore(label, right, right, right, **fields)


def team(name, values, measure="dice"):
    """A team with one vertebra per scan that has the given values of a measure."""
    field = {"dice": "dice", "hd": "hd_mm"}[measure]
    scans = tuple(scan(f"s{i:02}", vertebra(L1, **{field: float(v)})) for i, v in enumerate(values))
    return TeamScores(name, scans)


def affine_of(axes="LPS", spacing=(1.0, 1.0, 1.0)):
    """Affine to RAS mm of a grid with the given axis codes."""
    turn = nib.orientations.axcodes2ornt(axes)
    affine = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(turn):
        affine[int(world), axis] = sign * spacing[axis]
    affine[3, 3] = 1.0
    return affine


def save_mask(path: Path, labels, affine, dtype=np.uint8):
    """Write labels (i, j, k) as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(labels).astype(dtype), affine)
    nib.save(image, path)
    return image


def save_centroids(path: Path, entries, direction=None):
    """Write {label: (X, Y, Z)}; with a direction in the restructured convention."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [] if direction is None else [{"direction": list(direction)}]
    content += [
        {"label": k, "X": float(x), "Y": float(y), "Z": float(z)}
        for k, (x, y, z) in entries.items()
    ]
    path.write_text(json.dumps(content))
