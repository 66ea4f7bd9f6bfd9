"""One body bent to many spines: its vertebrae moved onto the centroids of real scans.

Each slice of the bent body is a slice of the original, shifted and scaled: heights go by a monotone
curve through the centroids, shifts by smooth ones. So lordosis, kyphosis, scoliosis and the spacing
of vertebrae are those of the real spine; vertebrae are sheared rather than tilted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from verse_infer.ct import Centroid
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap

Vector = NDArray[np.float64]
#: Centroids of one spine: VerSe label to x, y, z in LPS mm.
Configuration = Mapping[int, Vector]
#: Ranges of width, depth and thin_discs of bodies bent at random. In eight real scans lumbar bodies are 39
#: to 46 mm wide, 30 deep and 26 to 30 tall; those of BodyParts3D 33 to 38, 34 and 25.
BUILDS = ((0.9, 1.35), (0.75, 1.05), (0.0, 0.25))


@dataclass(frozen=True, slots=True)
class Bend:
    """Where the points of a body go; knots (n, 3) are centroids, foot to head, LPS mm.

    scale: size of the bent spine over that of the body. Beyond the knots the body is only scaled,
    and goes on straight. build: its width and depth are scaled by these besides.
    thin_discs: 0 to 1; the more, the more of the distance between two knots goes to the bodies.
    """

    body: Vector
    bent: Vector
    scale: float
    build: tuple[float, float] = (1.0, 1.0)
    thin_discs: float = 0.0

    def body_heights(self, z: Vector) -> Vector:
        """z in the body of heights in the bent body; (n,)."""
        low, high = self.bent[0, 2], self.bent[-1, 2]
        inside = PchipInterpolator(self.bent[:, 2], self.body[:, 2])(np.clip(z, low, high))
        knots = self.body[:, 2]
        below = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(knots) - 2)
        step = knots[below + 1] - knots[below]
        turn = 2 * np.pi * (inside - knots[below]) / step
        inside = inside - self.thin_discs * step * np.sin(turn) / (2 * np.pi)
        return np.asarray(inside + (z - np.clip(z, low, high)) / self.scale)

    def spine(self, knots: Vector, z: Vector) -> Vector:
        """x, y of the spine at heights in the bent body; knots: body or bent; (n, 2)."""
        heights = self.bent[:, 2]
        curve = PchipInterpolator(heights, knots[:, :2])
        return np.asarray(curve(np.clip(z, heights[0], heights[-1])))

    def point(self, point: Vector) -> Vector:
        """Where one point of the body goes."""
        low, high = self.body[0, 2], self.body[-1, 2]
        nearest = np.clip(point[2], low, high)
        finely = np.linspace(self.bent[0, 2], self.bent[-1, 2], 5000)
        z = float(np.interp(nearest, self.body_heights(finely), finely))
        height = np.array([z])
        offset = (point[:2] - self.spine(self.body, height)[0]) * self.scale * self.build
        x, y = self.spine(self.bent, height)[0] + offset
        return np.array([x, y, z + (point[2] - nearest) * self.scale])


def bend_to(body: AnatomyMap, configuration: Configuration) -> Bend | None:
    """The bend that brings the body's centroids onto those of the same label.

    None if fewer than two labels are common, or if heights do not fall along both spines.
    """
    own = {c.label: np.asarray(c.point) for c in body.centroids}
    common = sorted(own.keys() & configuration.keys(), key=lambda label: own[label][2])
    if len(common) < 2:
        return None
    before = np.array([own[label] for label in common])
    after = np.array([configuration[label] for label in common])
    if (np.diff(after[:, 2]) <= 0).any() or (np.diff(before[:, 2]) <= 0).any():
        return None
    lengths = [np.linalg.norm(np.diff(points, axis=0), axis=1).sum() for points in (before, after)]
    return Bend(before, after, float(lengths[1] / lengths[0]))


def bent_at_random(
    body: AnatomyMap,
    configurations: Sequence[Configuration],
    rng: np.random.Generator,
    *,
    built: bool = False,
) -> AnatomyMap:
    """The body on the first random configuration that it can be bent to; as it is without any.

    built: also of another build, as real bodies are; see BUILDS.
    """
    for index in rng.permutation(len(configurations)):
        bend = bend_to(body, configurations[index])
        if bend is not None:
            return bent_body(body, _built(bend, rng) if built else bend)
    return body


def _built(bend: Bend, rng: np.random.Generator) -> Bend:
    width, depth, thin = (float(rng.uniform(*ends)) for ends in BUILDS)
    return replace(bend, build=(width, depth), thin_discs=thin)


def bent_body(body: AnatomyMap, bend: Bend) -> AnatomyMap:
    """The whole body bent, on a lattice of the body's spacing that holds all of it."""
    lattice = _lattice(body.lattice, bend)
    z = lattice.origin[2] + lattice.spacing[2] * np.arange(lattice.size[2], dtype=np.float64)
    heights = np.rint((bend.body_heights(z) - body.lattice.origin[2]) / body.lattice.spacing[2])
    before, after = bend.spine(bend.body, z), bend.spine(bend.bent, z)
    tissue = np.zeros(lattice.shape, np.uint8)
    vertebrae = np.zeros(lattice.shape, np.uint8)
    for k, source in enumerate(heights.astype(int)):
        if 0 <= source < len(body.tissue):
            columns, rows = (
                _picked(body.lattice, lattice, axis, before[k, axis], after[k, axis], scale)
                for axis, scale in enumerate(bend.scale * np.array(bend.build))
            )
            tissue[k] = body.tissue[source][np.ix_(rows, columns)]
            vertebrae[k] = body.vertebrae[source][np.ix_(rows, columns)]
    centroids = []
    for centroid in body.centroids:
        x, y, height = bend.point(np.asarray(centroid.point)).tolist()
        centroids.append(Centroid(centroid.label, (x, y, height)))
    return AnatomyMap(tissue, vertebrae, tuple(centroids), (), lattice)


def _lattice(body: Lattice, bend: Bend) -> Lattice:
    """As wide as the body, around the middle of the bent spine; as tall as the bent body."""
    corners = body.corners()
    bottom = bend.bent[0, 2] + (corners[:, 2].min() - bend.body[0, 2]) * bend.scale
    top = bend.bent[-1, 2] + (corners[:, 2].max() - bend.body[-1, 2]) * bend.scale
    shift = bend.bent[:, :2].mean(axis=0) - bend.body[:, :2].mean(axis=0)
    size = (body.size[0], body.size[1], int((top - bottom) / body.spacing[2]) + 1)
    origin = (body.origin[0] + float(shift[0]), body.origin[1] + float(shift[1]), float(bottom))
    return Lattice(origin, body.spacing, size)


def _picked(
    body: Lattice, lattice: Lattice, axis: int, before: float, after: float, scale: float
) -> NDArray[np.intp]:
    """Index in the body's slice of each column or row of the bent one; its border beyond."""
    places = lattice.origin[axis] + lattice.spacing[axis] * np.arange(lattice.size[axis])
    index = ((places - after) / scale + before - body.origin[axis]) / body.spacing[axis]
    return np.asarray(np.clip(np.rint(index), 0, body.size[axis] - 1), np.intp)
