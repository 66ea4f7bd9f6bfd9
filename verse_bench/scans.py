"""The synthetic scans that are timed: invented bodies of known spines, made once and kept."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid, Ct
from verse_infer.files.atomic import atomic_write
from verse_infer.grid import Lattice
from verse_infer.resampling import sample
from verse_train.synthetic.procedural import invent_anatomy
from verse_train.synthetic.rendering import SAMPLE, render_ct
from verse_train.synthetic.spine_curve import REGULAR, pose_spine

#: Bodies are invented on this lattice and interpolated to the scan's own: finer would take hours.
ANATOMY_MM = 2.0
#: Noise of each voxel, HU: what makes real scans hard to compress.
NOISE_HU = 12.0
#: Room between the outermost centroids that are to be seen whole and the scan's ends, mm.
LEAST_MARGIN_MM = 28.0
SLAB = 64


@dataclass(frozen=True, slots=True)
class BenchScan:
    """One scan to be made.

    size: voxels x, y, z. spacing: mm, x, y, z. first, last: the outermost of the vertebrae in the
    middle of its height.
    """

    name: str
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    first: str = "C1"
    last: str = "L5"


LUMBAR = BenchScan("lumbar", (512, 512, 250), (0.5, 0.5, 0.8), "L1", "L5")
WHOLE_SPINE = BenchScan("whole-spine", (512, 512, 700), (0.75, 0.75, 0.9))
WHOLE_BODY = BenchScan("whole-body", (512, 512, 1200), (0.97, 0.97, 1.0))
SCANS = (LUMBAR, WHOLE_SPINE, WHOLE_BODY)

#: More vertebrae, and with them a longer spine, at the same size of a voxel.
BY_VERTEBRAE = tuple(
    BenchScan(f"{count}-vertebrae", (384, 384, slices), (0.98, 0.98, 1.0), REGULAR[-count], "L5")
    for count, slices in ((3, 150), (10, 360), (17, 520), (24, 640))
)
#: The same spine in the same field of view, or in a larger one: only the number of voxels grows.
BY_VOLUME = tuple(
    BenchScan(f"{name}-volume", size, spacing, "L1", "L5")
    for name, size, spacing in (
        ("eighth", (256, 256, 125), (1.0, 1.0, 1.6)),
        ("quarter", (256, 256, 250), (1.0, 1.0, 0.8)),
        ("whole", (512, 512, 250), (0.5, 0.5, 0.8)),
        ("double", (724, 724, 250), (0.354, 0.354, 0.8)),
    )
)


@dataclass(frozen=True, slots=True)
class Truth:
    """What a scan shows: centroids of its whole vertebrae, LPS mm, head to foot."""

    centroids: tuple[Centroid, ...]


def make_scan(scan: BenchScan, folder: Path) -> Path:
    """The scan's .nii.gz below the folder; made unless it is there. Its truth lies beside."""
    path = folder / scan.name / f"{scan.name}.nii.gz"
    recipe = json.loads(json.dumps(asdict(scan)))
    truth = path.with_name("truth.json")
    if path.is_file() and truth.is_file() and json.loads(truth.read_text())["scan"] == recipe:
        return path
    lattice, body = _lattices(scan)
    rng = np.random.default_rng(1)
    anatomy = invent_anatomy(body, rng, names=REGULAR, variation=0.0)
    coarse = Ct(render_ct(anatomy, rng, SAMPLE), body)
    _write(path, lattice, coarse, rng)
    seen = _seen(lattice, anatomy.centroids)
    centroids = [{"label": c.label, "point": c.point} for c in seen]
    entry = {"scan": recipe, "centroids": centroids}
    truth.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    return path


def read_truth(path: Path) -> Truth:
    """The truth of a scan that make_scan has written."""
    content = json.loads(path.with_name("truth.json").read_text(encoding="utf-8"))
    return Truth(tuple(Centroid(c["label"], tuple(c["point"])) for c in content["centroids"]))


def _lattices(scan: BenchScan) -> tuple[Lattice, Lattice]:
    """The scan's own lattice around its vertebrae, and the one its body is invented on."""
    spine = pose_spine(REGULAR, np.random.default_rng(1), 0.0)
    ends = [v.centre for v in spine if v.label in (label_of(scan.first), label_of(scan.last))]
    middle = (ends[0] + ends[-1]) / 2
    extent = np.multiply(scan.size, scan.spacing)
    # The back's skin lies about 80 mm behind the vertebral bodies, the belly far before them.
    centre = (middle[0], middle[1] + 80.0 - min(extent[1] / 2, 140.0), middle[2])
    low = np.asarray(centre) - (extent - scan.spacing) / 2
    own = Lattice((low[0], low[1], low[2]), scan.spacing, scan.size)
    # Whole vertebrae are known from a body that reaches beyond the scan at its ends.
    beyond = (0.0, 0.0, 80.0)
    size = np.ceil((extent + 2 * np.asarray(beyond)) / ANATOMY_MM).astype(int) + 1
    return own, Lattice.centred(centre, ANATOMY_MM, size.tolist())


def _seen(lattice: Lattice, centroids: tuple[Centroid, ...]) -> tuple[Centroid, ...]:
    bottom, top = (corner[2] for corner in (lattice.corners()[0], lattice.corners()[-1]))
    return tuple(
        c for c in centroids if bottom + LEAST_MARGIN_MM < c.point[2] < top - LEAST_MARGIN_MM
    )


def _write(path: Path, lattice: Lattice, coarse: Ct, rng: np.random.Generator) -> None:
    """Interpolate and add noise, slab by slab; file axes to the right-anterior-superior."""
    spacing, size = lattice.spacing, lattice.size
    affine = np.diag([*spacing, 1.0])
    last = lattice.point((size[0] - 1, size[1] - 1, 0))
    affine[:3, 3] = (-last[0], -last[1], last[2])
    voxels = np.empty(lattice.shape, np.int16)
    for start, slab in _slabs(lattice):
        hu = sample(coarse, slab)
        hu += np.float32(NOISE_HU) * rng.standard_normal(hu.shape, np.float32)
        voxels[start : start + len(hu)] = np.clip(np.rint(hu), -1024, 8000)
    image = nib.Nifti1Image(voxels[:, ::-1, ::-1].transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    with atomic_write(path) as partial:
        nib.save(image, partial)


def _slabs(lattice: Lattice) -> Iterator[tuple[int, Lattice]]:
    for start in range(0, lattice.size[2], SLAB):
        origin = lattice.point((0, 0, start))
        size = (*lattice.size[:2], min(SLAB, lattice.size[2] - start))
        yield start, Lattice((origin[0], origin[1], origin[2]), lattice.spacing, size)
