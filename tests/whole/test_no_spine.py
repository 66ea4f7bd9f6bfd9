"""Where no spine is in view, no vertebra is found: beside the spine of real patients, and in legs."""

from pathlib import Path

import numpy as np
import pytest

from verse_infer.anatomy import label_of, name_of
from verse_infer.ct import Ct
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids
from verse_infer.grid import Lattice

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ct"
NAMES = sorted(path.name for path in DATA.glob("rawdata/sub-*"))
#: Farthest that a spine reaches from the centres of its bodies: sideways, forward, and below L5, mm.
SIDE_MM, FRONT_MM, BELOW_MM = 60.0, 45.0, 100.0
#: Smaller views are left out, mm.
LEAST_MM = 20.0


def legs(spacing=2.0):
    """Two thighs: skin and fat around muscle around a hollow bone, in air."""
    lattice = Lattice.centred((0.0, 0.0, 0.0), spacing, (180, 100, 150))
    k, j, i = np.indices(lattice.shape)
    points = lattice.point(np.stack([i, j, k], axis=-1))
    hu = np.full(lattice.shape, -1000.0)
    for side in (-85.0, 85.0):
        # Femurs lean towards the knees.
        across = points[..., 0] - side * (1 + 0.001 * points[..., 2])
        radius = np.hypot(across, points[..., 1])
        for outer, value in ((78.0, -90.0), (62.0, 55.0), (14.0, 1200.0), (8.0, -60.0)):
            hu[radius < outer] = value
    hu += np.random.default_rng(0).normal(0, 15, hu.shape)
    return Ct(np.asarray(hu, np.int16), lattice)


def views_beside_the_spine(name):
    """What lies right, left, in front of and below the spine of a real scan, by side."""
    ct = read_ct(DATA / "rawdata" / name / f"{name}_ct.nii.gz")
    truth = DATA / "derivatives" / name / f"{name}_seg-subreg_ctd.json"
    given = read_centroids(truth, ct.source, "verse")
    index = np.array([ct.lattice.index(c.point) for c in given])
    low, high = index.min(axis=0), index.max(axis=0)
    sx, sy, sz = ct.lattice.spacing
    z, y, x = (slice(0, n) for n in ct.hu.shape)
    parts = {
        "right": (z, y, slice(0, max(0, int(low[0] - SIDE_MM / sx)))),
        "left": (z, y, slice(int(high[0] + SIDE_MM / sx), ct.hu.shape[2])),
        "front": (z, slice(0, max(0, int(low[1] - FRONT_MM / sy))), x),
    }
    if label_of("L5") in {c.label for c in given}:
        parts["below"] = (slice(0, max(0, int(low[2] - BELOW_MM / sz))), y, x)
    return {
        side: Ct(np.ascontiguousarray(ct.hu[part]), ct.lattice.part(part))
        for side, part in parts.items()
        if all((p.stop - p.start) * s >= LEAST_MM for p, s in zip(part, (sz, sy, sx), strict=True))
    }


@pytest.mark.slow
def test_legs_have_no_vertebrae(pipeline):
    assert pipeline.run(legs()).centroids == ()


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not NAMES, reason="no ../shared/data/ct")
@pytest.mark.parametrize("name", NAMES)
def test_beside_a_real_spine_there_are_no_vertebrae(pipeline, name):
    found = {}
    for side, ct in views_beside_the_spine(name).items():
        found[side] = [name_of(c.label) for c in pipeline.run(ct).centroids]
    print(name, found)
    assert not any(found.values()), found
