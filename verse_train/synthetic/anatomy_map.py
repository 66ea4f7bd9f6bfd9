"""Hand-over from making anatomy to rendering it: tissues and vertebrae on one lattice."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import Centroid
from verse_infer.grid import Lattice


class Tissue(IntEnum):
    """What a voxel is made of; metal and cement come with the rendering."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    SKIN = 3
    LUNG = 4
    SOFT_ORGAN = 5
    BLOOD = 6
    BOWEL_GAS = 7
    DISC = 8
    SPINAL_CANAL = 9
    CARTILAGE = 10
    VERTEBRA = 11
    RIB = 12
    SACRUM = 13
    OTHER_BONE = 14
    TABLE = 15
    METAL = 16
    CEMENT = 17


@dataclass(frozen=True, slots=True)
class AnatomyMap:
    """Exactly known anatomy.

    tissue: uint8 Tissue, z, y, x.
    vertebrae: uint8 VerSe label of each voxel's vertebra, 0 elsewhere; same shape. Holds cut
        vertebrae too.
    centroids: body centres (C1: centre of the ring) of the vertebrae wholly inside the lattice,
        LPS mm, head to foot. Partially visible vertebrae are not targets, as in VerSe.
    cut_centroids: the same for vertebrae that the field of view cuts, where the centre lies inside.
    lattice: where the voxels are.
    """

    tissue: NDArray[np.uint8]
    vertebrae: NDArray[np.uint8]
    centroids: tuple[Centroid, ...]
    cut_centroids: tuple[Centroid, ...]
    lattice: Lattice
