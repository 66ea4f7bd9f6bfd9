"""Small invented bodies, made once for many tests."""

from functools import lru_cache

import numpy as np

from verse_infer.grid import Lattice
from verse_train.synthetic.procedural import invent_anatomy
from verse_train.synthetic.spine_curve import REGULAR

#: Trunk, neck and head of the mean body; 4 mm.
WHOLE = Lattice.centred((0.0, -25.0, 20.0), 4.0, (100, 76, 190))
#: T10 to L2 and the ends of their neighbours; 3 mm.
PART = Lattice.centred((0.0, -25.0, -150.0), 3.0, (60, 60, 50))


@lru_cache(maxsize=1)
def mean_body():
    return invent_anatomy(WHOLE, np.random.default_rng(0), names=REGULAR, variation=0.0)


@lru_cache(maxsize=4)
def part_of_a_body(seed=0, variation=1.0):
    return invent_anatomy(PART, np.random.default_rng(seed), names=REGULAR, variation=variation)


def tissue_at(anatomy, point):
    i, j, k = np.rint(anatomy.lattice.index(point)).astype(int)
    return anatomy.tissue[k, j, i]
