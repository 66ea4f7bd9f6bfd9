"""A real body as an anatomy map: the BodyParts3D meshes, voxelised.

BodyParts3D, © The Database Center for Life Science, CC BY-SA 2.1 Japan: 543 surfaces of one adult
male in one frame (mm, LPS). The folder holds the surfaces and parts.csv with their names; the folder
names are unreliable, so tissues go by the names of the parts.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import VERTEBRAE, label_of
from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue

#: From the upper thigh to the crown, all of the trunk; LPS mm.
LOW = (-185.0, -215.0, 740.0)
HIGH = (185.0, 75.0, 1640.0)
#: What no part fills is fat below the skin, to this depth, and muscle beyond.
FAT_MM = 14.0
_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
#: The last match of a part's name decides its tissue, and later ones are drawn over earlier ones.
_TISSUES: tuple[tuple[str, Tissue], ...] = (
    (r"^skin$", Tissue.SKIN),
    (r"muscle|psoas|iliacus|trapezius|diaphragm|longus|scalene|erector|multifid", Tissue.MUSCLE),
    (
        r"liver|spleen|kidney|pancreas|stomach|duodenum|jejunum|ileum|colon|rectum|bladder|segment "
        r"of|prostate|esophagus|brain|lobe|gyrus|cerebell|thyroid|gland",
        Tissue.SOFT_ORGAN,
    ),
    (r"heart|ventric|atri|aort|vena cava|artery|vein|trunk", Tissue.BLOOD),
    (r"trachea|bronch", Tissue.BOWEL_GAS),
    (r"intervertebral disk", Tissue.DISC),
    (r"cartilage", Tissue.CARTILAGE),
    (r"sacrum|coccyx", Tissue.SACRUM),
    (r"\brib\b", Tissue.RIB),
    (
        r"hip bone|ilium|ischium|pubis|femur|sternum|manubrium|clavicle|scapula|humerus|mandible|maxilla"
        r"|occipital|temporal bone|parietal bone|frontal bone|sphenoid|hyoid|zygomatic|ethmoid"
        r"|tooth|incisor|molar|canine|nasal bone|vomer|palatine|patella",
        Tissue.OTHER_BONE,
    ),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One surface: its name in words and its file."""

    name: str
    path: Path

    @property
    def vertebra(self) -> int:
        """VerSe label of a vertebra, else 0."""
        if self.name in ("atlas", "axis"):
            return label_of("C1" if self.name == "atlas" else "C2")
        match = re.fullmatch(r"(\w+) (cervical|thoracic|lumbar) vertebra", self.name)
        if match is None or match[1] not in _ORDINALS:
            return 0
        return label_of(f"{match[2][0].upper()}{_ORDINALS.index(match[1]) + 1}")


def voxelise_body(folder: Path, spacing_mm: float) -> AnatomyMap:
    """The whole trunk, neck and head at an isotropic spacing; minutes at 1 mm."""
    size = tuple(int((h - low) / spacing_mm) + 1 for low, h in zip(LOW, HIGH, strict=True))
    lattice = Lattice(LOW, (spacing_mm,) * 3, (size[0], size[1], size[2]))
    tissue = np.full(lattice.shape, Tissue.AIR, np.uint8)
    vertebrae = np.zeros(lattice.shape, np.uint8)
    parts = list(_parts(folder))
    for pattern, kind in _TISSUES:
        for part in parts:
            if _pattern_of(part.name) == pattern:
                box, inside = _voxels_inside(part.path, lattice)
                tissue[box][inside] = kind
    for part in parts:
        if part.vertebra:
            box, inside = _voxels_inside(part.path, lattice)
            vertebrae[box][inside] = part.vertebra
            tissue[box][inside] = Tissue.VERTEBRA
    empty = _inside_skin(tissue) & (tissue == Tissue.AIR)
    lungs = empty & _lungs(tissue, lattice, _height_above_diaphragm(parts, lattice))
    tissue[lungs] = Tissue.LUNG
    depth = scipy.ndimage.distance_transform_edt(empty | (tissue > 0), lattice.spacing[::-1])
    tissue[empty & ~lungs] = np.where(depth < FAT_MM, Tissue.FAT, Tissue.MUSCLE)[empty & ~lungs]
    return AnatomyMap(tissue, vertebrae, _body_centres(vertebrae, lattice), (), lattice)


def _parts(folder: Path) -> Iterator[Part]:
    with (folder / "parts.csv").open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            found = next(iter(folder.glob(f"*/{row['fj']}_*.ply")), None)
            if found is not None:
                yield Part(row["name"].strip().lower(), found)


def _pattern_of(name: str) -> str | None:
    return next((pattern for pattern, _ in reversed(_TISSUES) if re.search(pattern, name)), None)


def _voxels_inside(path: Path, lattice: Lattice) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Voxels whose centre the surface encloses: a box of the lattice (z, y, x) and a mask in it."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    reader = vtk.vtkPLYReader()
    reader.SetFileName(str(path))
    reader.Update()
    x0, x1, y0, y1, z0, z1 = reader.GetOutput().GetBounds()
    first = np.maximum(np.floor(lattice.index((x0, y0, z0))), 0).astype(int)
    last = np.minimum(np.ceil(lattice.index((x1, y1, z1))), np.array(lattice.size) - 1).astype(int)
    if (last < first).any():
        return (slice(0, 0),) * 3, np.zeros((0, 0, 0), np.bool_)
    stencil = vtk.vtkPolyDataToImageStencil()
    stencil.SetInputData(reader.GetOutput())
    stencil.SetOutputOrigin(lattice.point(first))
    stencil.SetOutputSpacing(lattice.spacing)
    extent = [int(v) for pair in zip((0, 0, 0), last - first, strict=True) for v in pair]
    stencil.SetOutputWholeExtent(extent)
    image = vtk.vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    mask = vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()) > 0
    shape = tuple((last - first + 1)[::-1].tolist())
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(first[::-1], last[::-1], strict=True))
    return box, mask.reshape(shape)


def _height_above_diaphragm(parts: list[Part], lattice: Lattice) -> NDArray[np.float64]:
    """z of the diaphragm's top over every x, y; the height of T11 where there is none. (y, x)."""
    z = lattice.origin[2] + lattice.spacing[2] * np.arange(lattice.size[2])
    height = np.full(lattice.shape[1:], 1105.0)
    for part in parts:
        if "diaphragm" in part.name:
            box, inside = _voxels_inside(part.path, lattice)
            top = np.where(inside, z[box[0]][:, None, None], -np.inf).max(axis=0)
            height[box[1:]] = np.where(np.isfinite(top), top, height[box[1:]])
    return height


def _inside_skin(tissue: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The skin is a thin shell, with gaps between voxels: what it encloses in each axial slice.

    The left and right borders count as skin: the arms cross them.
    """
    body = np.zeros(tissue.shape, np.bool_)
    for k in range(len(tissue)):
        plane = (tissue[max(k - 2, 0) : k + 3] > 0).any(axis=0)
        walled = np.pad(scipy.ndimage.binary_dilation(plane, iterations=2), ((3, 3), (0, 0)))
        walled[:, [0, -1]] = True
        body[k] = scipy.ndimage.binary_erosion(
            scipy.ndimage.binary_fill_holes(walled), iterations=2, border_value=1
        )[3:-3]
    return body


def _lungs(
    tissue: NDArray[np.uint8], lattice: Lattice, floor: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """BodyParts3D has no lungs: the rib cage above the diaphragm, whatever else lies there."""
    lungs = np.zeros(tissue.shape, np.bool_)
    z = lattice.origin[2] + lattice.spacing[2] * np.arange(lattice.size[2])
    cage = np.isin(tissue, [Tissue.RIB, Tissue.CARTILAGE])
    reach = max(1, round(14 / lattice.spacing[2]))
    for k in np.flatnonzero((z > 1060) & (z < 1380)):
        # Ribs slope: the cage of a slice shows in the slices around it.
        ribs = np.asarray(cage[max(k - reach, 0) : k + reach].any(axis=0))
        inside = _between_along(ribs, 0) & _between_along(ribs, 1)
        lungs[k] = inside & (z[k] > floor)
    return lungs


def _between_along(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Pixels with mask pixels on both sides along an axis."""
    before = np.logical_or.accumulate(mask, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis=axis), axis)
    return np.asarray(before & after)


def _body_centres(vertebrae: NDArray[np.uint8], lattice: Lattice) -> tuple[Centroid, ...]:
    """Head to foot: the middle of the deepest bone, which lies in the body; C1: centre of mass."""
    centroids = []
    boxes = scipy.ndimage.find_objects(vertebrae)
    for name in VERTEBRAE:
        label = label_of(name)
        if label > len(boxes) or boxes[label - 1] is None:
            continue
        box = boxes[label - 1]
        mask = np.pad(vertebrae[box] == label, 1)
        depth = scipy.ndimage.distance_transform_edt(mask)
        weight = mask if name == "C1" else depth > 0.8 * depth.max()
        k, j, i = (np.array(np.nonzero(weight)).mean(axis=1) - 1 + [s.start for s in box]).tolist()
        x, y, z = lattice.point((i, j, k)).tolist()
        centroids.append(Centroid(label, (x, y, z)))
    return tuple(centroids)
