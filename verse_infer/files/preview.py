"""A picture of one result: sagittal and coronal through the curved spine, masks, level names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, name_of
from verse_infer.ct import Centroid, Ct

Picture = NDArray[np.float32]
#: Bone window, HU.
WINDOW = (-250.0, 950.0)
#: Tallest picture; taller scans are shown smaller.
MAX_HEIGHT = 900
OPACITY = 0.40
#: Neighbouring vertebrae get clearly different colours; the palette repeats every six levels.
PALETTE = np.array(
    [
        (230, 85, 80),
        (80, 160, 240),
        (245, 190, 65),
        (110, 200, 110),
        (190, 115, 220),
        (70, 205, 205),
    ],
    np.float32,
)


@dataclass(frozen=True, slots=True)
class _Style:
    """How a centroid is shown. name_mm: where its name stands beside it; anchor: of the name."""

    colour: tuple[int, int, int]
    name_mm: float
    anchor: str


FOUND = _Style((255, 255, 255), 32.0, "lm")
TRUE = _Style((120, 255, 120), -32.0, "rm")


@dataclass(frozen=True, slots=True)
class _Mark:
    """A centroid in a picture. index: continuous, x, y, z."""

    index: NDArray[np.float64]
    name: str
    style: _Style


def render_preview(
    ct: Ct,
    mask: NDArray[np.uint8] | None,
    centroids: Sequence[Centroid],
    truth: Sequence[Centroid] = (),
) -> Image.Image:
    """Two views side by side: sagittal (anterior on the left), coronal (patient's right on the left).

    Each row shows the plane through the spine's centre at its height, so that a curved spine is seen
    whole; beyond its ends, and without centroids, the plane stays where it is. truth: annotated
    centroids, if known; green, their names on the left, and the planes go through them.
    """
    columns, rows = _spine_in_slices(ct, truth or centroids)
    planes = np.arange(len(ct.hu))
    sagittal = ct.hu[planes, :, columns], None if mask is None else mask[planes, :, columns]
    coronal = ct.hu[planes, rows, :], None if mask is None else mask[planes, rows, :]
    sx, sy, sz = ct.lattice.spacing
    marks = [_Mark(ct.lattice.index(c.point), name_of(c.label), TRUE) for c in truth]
    marks += [_Mark(ct.lattice.index(c.point), name_of(c.label), FOUND) for c in centroids]
    views = [
        _view(*sagittal, (sy, sz), marks, 1, "AP"),
        _view(*coronal, (sx, sz), marks, 0, "RL"),
    ]
    gap = 6
    width, height = sum(v.width for v in views) + gap, max(v.height for v in views)
    picture = Image.new("RGB", (width, height))
    picture.paste(views[0], (0, 0))
    picture.paste(views[1], (views[0].width + gap, 0))
    return picture


def _spine_in_slices(
    ct: Ct, centroids: Sequence[Centroid]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Column and row of the spine's centre in every slice."""
    slices = np.arange(len(ct.hu))
    if not centroids:
        middle_x, middle_y = ct.hu.shape[2] // 2, ct.hu.shape[1] // 2
        return np.full(len(slices), middle_x), np.full(len(slices), middle_y)
    index = np.array(sorted((ct.lattice.index(c.point) for c in centroids), key=lambda p: p[2]))
    found = []
    for axis, size in ((0, ct.hu.shape[2]), (1, ct.hu.shape[1])):
        place = np.rint(np.interp(slices, index[:, 2], index[:, axis])).astype(np.intp)
        found.append(np.clip(place, 0, size - 1))
    return found[0], found[1]


def _view(
    hu: NDArray[np.int16],
    labels: NDArray[np.uint8] | None,
    spacing: tuple[float, float],
    marks: Sequence[_Mark],
    axis: int,
    sides: str,
) -> Image.Image:
    """One plane (z, u) as a picture with square pixels, head up; axis: which index u is, x or y."""
    low, high = WINDOW
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    rgb = np.repeat(grey[..., None], 3, axis=2)
    if labels is not None:
        rgb = _coloured(rgb, labels)
    height_mm, width_mm = hu.shape[0] * spacing[1], hu.shape[1] * spacing[0]
    scale = min(2.0, MAX_HEIGHT / height_mm)
    size = max(1, round(width_mm * scale)), max(1, round(height_mm * scale))
    picture = Image.fromarray(rgb[::-1].astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(10, round(9 * scale + 4)))
    for mark in marks:
        x = (mark.index[axis] + 0.5) * spacing[0] * scale
        y = (hu.shape[0] - mark.index[2] - 0.5) * spacing[1] * scale
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=mark.style.colour)
        draw.text(
            (x + mark.style.name_mm * scale, y),
            mark.name,
            mark.style.colour,
            font,
            mark.style.anchor,
            stroke_width=1,
            stroke_fill=(0, 0, 0),
        )
    draw.text((4, 4), sides[0], (200, 200, 200), font)
    draw.text((size[0] - 4, 4), sides[1], (200, 200, 200), font, anchor="ra")
    return picture


def _coloured(rgb: Picture, labels: NDArray[np.uint8]) -> Picture:
    """Translucent colours inside, opaque ones on the border of each vertebra."""
    table = np.zeros((256, 3), np.float32)
    for rank, label in enumerate(CRANIOCAUDAL_LABELS):
        table[label] = PALETTE[rank % len(PALETTE)]
    inside = labels > 0
    border = np.zeros_like(inside)
    for axis in (0, 1):
        change = np.diff(labels, axis=axis) != 0
        first = [slice(None)] * 2
        first[axis] = slice(0, -1)
        border[tuple(first)] |= change
    weight = np.where(border & inside, 1.0, OPACITY) * inside
    return np.asarray(rgb * (1 - weight[..., None]) + table[labels] * weight[..., None], np.float32)
