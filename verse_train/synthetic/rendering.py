"""From anatomy to a CT: Hounsfield units by tissue, texture, point spread, noise.

Values are drawn around the usual ones of CT (for example Hounsfield's scale: air -1000, water 0;
fat -110 to -80, muscle 40 to 70; trabecular bone 80 to 350, cortical 400 to 1500). A network that
learned on wide ranges of them has to go by shape, which carries over to real scans.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.implants import add_cement, add_fixation
from verse_train.synthetic.streaks import metal_streaks
from verse_train.synthetic.table import with_table

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """Ranges of what is drawn at random.

    spread: 0 takes the middle of each tissue's range, 1 all of it. texture_hu: standard deviation
    of trabecular texture. noise_hu: standard deviation of the image noise. blur_mm: of the point
    spread in plane. slice_blur_mm: along z. contrast: probability of contrast agent in the vessels.
    metal: probability of screws and rods, with their streaks. cement: probability of cement in
    bodies. table: probability of a table, where the lattice reaches behind the patient. faint:
    probability that trabecular bone is hardly denser than muscle, as in osteoporosis. uneven:
    standard deviation of a vertebra's density, as a share of it, between its parts. dense_arch: how
    many times as dense its arch is as its body.
    cortex_share: how much of a voxel of the shell is cortex. Shells are drawn at least a voxel thick,
    and a vertebra's real one is thinner than the voxels of a coarse lattice.
    """

    spread: float = 1.0
    texture_hu: tuple[float, float] = (10.0, 60.0)
    noise_hu: tuple[float, float] = (5.0, 60.0)
    blur_mm: tuple[float, float] = (0.4, 1.0)
    slice_blur_mm: tuple[float, float] = (0.4, 2.0)
    contrast: float = 0.4
    metal: float = 0.05
    cement: float = 0.0
    table: float = 0.0
    faint: float = 0.3
    uneven: tuple[float, float] = (0.0, 0.35)
    dense_arch: tuple[float, float] = (1.0, 2.5)
    cortex_share: tuple[float, float] = (1.0, 1.0)


TRAINING = RenderOptions()
SAMPLE = RenderOptions(
    spread=0.0,
    texture_hu=(25.0, 25.0),
    noise_hu=(15.0, 15.0),
    blur_mm=(0.6, 0.6),
    slice_blur_mm=(0.7, 0.7),
    contrast=0.0,
    metal=0.0,
    faint=0.0,
    uneven=(0.0, 0.0),
    dense_arch=(1.0, 1.0),
)

#: HU range of each tissue.
_RANGES: dict[Tissue, tuple[float, float]] = {
    Tissue.AIR: (-1000, -990),
    Tissue.FAT: (-120, -70),
    Tissue.MUSCLE: (20, 90),
    Tissue.SKIN: (-20, 80),
    Tissue.LUNG: (-900, -650),
    Tissue.SOFT_ORGAN: (20, 160),
    Tissue.BLOOD: (30, 60),
    Tissue.BOWEL_GAS: (-950, -600),
    Tissue.DISC: (50, 140),
    Tissue.SPINAL_CANAL: (0, 60),
    Tissue.CARTILAGE: (70, 220),
    Tissue.VERTEBRA: (60, 380),
    Tissue.RIB: (60, 380),
    Tissue.SACRUM: (50, 350),
    Tissue.OTHER_BONE: (60, 380),
    Tissue.TABLE: (-700, 200),
    Tissue.METAL: (2500, 6000),
    Tissue.CEMENT: (1000, 2200),
}
#: HU range of trabecular bone that is hardly denser than muscle.
_FAINT_HU = (20, 110)
#: The arch begins this far behind the body's centre, mm; about half the depth of a body.
_ARCH_MM = 15.0
_BONES = (Tissue.VERTEBRA, Tissue.RIB, Tissue.SACRUM, Tissue.OTHER_BONE)


def render_ct(
    anatomy: AnatomyMap, rng: np.random.Generator, options: RenderOptions = TRAINING
) -> NDArray[np.int16]:
    """HU, int16, z, y, x on the anatomy's lattice."""
    if options.table and rng.random() < options.table:
        anatomy = with_table(anatomy, rng)
    values = _tissue_values(rng, options)
    hu = values[anatomy.tissue]
    bone = np.isin(anatomy.tissue, [int(t) for t in _BONES])
    _vary_density(hu, anatomy, bone, rng, options)
    hu += _texture(anatomy, bone, rng, options)
    _add_cortex(hu, anatomy, bone, rng, options)
    if options.cement and rng.random() < options.cement:
        add_cement(hu, anatomy, values[Tissue.CEMENT], rng)
    metal = None
    if rng.random() < options.metal:
        metal = add_fixation(hu, anatomy, values[Tissue.METAL], rng)
    spacing = anatomy.lattice.spacing
    in_plane, along_z = rng.uniform(*options.blur_mm), rng.uniform(*options.slice_blur_mm)
    sigmas = (along_z / spacing[2], in_plane / spacing[1], in_plane / spacing[0])
    hu = scipy.ndimage.gaussian_filter(hu, sigmas, truncate=2.5)
    if metal is not None:
        hu += metal_streaks(metal, spacing, rng)
    hu += np.float32(rng.uniform(*options.noise_hu)) * _noise(hu.shape, rng)
    return np.asarray(np.clip(np.rint(hu), -1024, 8000), np.int16)


def _tissue_values(rng: np.random.Generator, options: RenderOptions) -> Floats:
    values = np.zeros(len(Tissue), np.float32)
    for tissue, (low, high) in _RANGES.items():
        middle, half = (low + high) / 2, options.spread * (high - low) / 2
        values[tissue] = rng.uniform(middle - half, middle + half)
    if options.faint and rng.random() < options.faint:
        values[Tissue.VERTEBRA] = rng.uniform(*_FAINT_HU)
    # The bones of one body are about equally dense.
    for tissue in _BONES[1:]:
        values[tissue] = values[Tissue.VERTEBRA] * (1 + options.spread * rng.uniform(-0.2, 0.2))
    if rng.random() < options.contrast:
        values[Tissue.BLOOD] = rng.uniform(120, 400)
    return values


def _vary_density(
    hu: Floats,
    anatomy: AnatomyMap,
    bone: NDArray[np.bool_],
    rng: np.random.Generator,
    options: RenderOptions,
) -> None:
    """Bone is denser here than there, over a centimetre or two, and vertebral arches than bodies."""
    share = _drawn(options.uneven, rng)
    times = _drawn(options.dense_arch, rng)
    if share > 0:
        sigma = [6.0 / s for s in anatomy.lattice.spacing[::-1]]
        hu[bone] *= np.maximum(1 + share * _field(hu.shape, sigma, rng)[bone], 0.2)
    if times > 1 and anatomy.centroids:
        z, y, x = (anatomy.vertebrae > 0).nonzero()
        behind = np.full(256, np.inf)
        for centroid in (*anatomy.centroids, *anatomy.cut_centroids):
            behind[centroid.label] = centroid.point[1] + _ARCH_MM
        arch = (
            anatomy.lattice.origin[1] + anatomy.lattice.spacing[1] * y
            > behind[anatomy.vertebrae[z, y, x]]
        )
        hu[z[arch], y[arch], x[arch]] *= times


def _drawn(ends: tuple[float, float], rng: np.random.Generator) -> np.float32:
    """A uniform number; a range of one number takes nothing from the generator."""
    return np.float32(rng.uniform(*ends) if ends[0] < ends[1] else ends[0])


def _field(shape: tuple[int, ...], sigma: Sequence[float], rng: np.random.Generator) -> Floats:
    """Smooth noise with unit standard deviation; sigma in voxels."""
    noise = rng.standard_normal(shape, np.float32)
    field = scipy.ndimage.gaussian_filter(noise, sigma, truncate=2.0)
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def _texture(
    anatomy: AnatomyMap, bone: NDArray[np.bool_], rng: np.random.Generator, options: RenderOptions
) -> Floats:
    """Trabecular and organ texture: noise of a few millimetres, stronger in bone and lung."""
    sigma = [1.2 / s for s in anatomy.lattice.spacing[::-1]]
    field = _field(anatomy.tissue.shape, sigma, rng)
    strength = np.float32(rng.uniform(*options.texture_hu))
    weight = np.where(bone, 1.0, np.where(anatomy.tissue == Tissue.LUNG, 1.0, 0.15))
    return np.asarray(strength * field * weight, np.float32)


def _add_cortex(
    hu: Floats,
    anatomy: AnatomyMap,
    bone: NDArray[np.bool_],
    rng: np.random.Generator,
    options: RenderOptions,
) -> None:
    """A dense shell: bone whose neighbourhood is partly not bone, the more the denser."""
    thickness = 1.3 + options.spread * rng.uniform(-0.6, 0.8)
    density = 800 + options.spread * rng.uniform(-450, 500)
    size = [max(1, 2 * round(thickness / s) + 1) for s in anatomy.lattice.spacing[::-1]]
    size = [
        max(n, 3) if s <= 2.5 else n
        for n, s in zip(size, anatomy.lattice.spacing[::-1], strict=True)
    ]
    # Each vertebra has a shell of its own, also where it touches its neighbour.
    own = np.where(bone, anatomy.vertebrae.astype(np.int16) + 1, 0)
    inner = (scipy.ndimage.minimum_filter(own, size) == own) & (
        scipy.ndimage.maximum_filter(own, size) == own
    )
    shell = bone & ~inner
    dense = np.maximum(hu[shell], np.float32(density) * rng.uniform(0.7, 1.0, int(shell.sum())))
    share = _drawn(options.cortex_share, rng)
    hu[shell] = (1 - share) * hu[shell] + share * dense


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Noise with unit standard deviation, partly correlated between neighbours in plane."""
    white = rng.standard_normal(shape, np.float32)
    if rng.random() < 0.5:
        return white
    smooth = scipy.ndimage.uniform_filter(white, (1, 2, 2))
    return np.asarray(smooth / max(float(smooth.std()), 1e-6), np.float32)
