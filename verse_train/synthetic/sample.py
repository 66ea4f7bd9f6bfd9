"""The sample scan: an invented torso that anyone may have, with its exact truth."""

from pathlib import Path

import numpy as np

from verse_infer.grid import Lattice
from verse_train.synthetic.procedural import invent_anatomy
from verse_train.synthetic.rendering import SAMPLE, render_ct
from verse_train.synthetic.scan_files import write_scan
from verse_train.synthetic.spine_curve import REGULAR

NAME = "sub-sample"
#: Field of view: about T8 to the sacrum, 1 mm in plane, 1.5 mm slices.
LATTICE = Lattice((-140.0, -165.0, -330.0), (1.0, 1.0, 1.5), (281, 261, 200))
#: T8 to L5 are whole in it, the sacrum is in view, and no other vertebra's centre is.
SEED = 2


def write_sample(folder: Path, seed: int = SEED) -> Path:
    """Write the sample as a restructured VerSe data set; returns the CT's path.

    rawdata/sub-sample holds the CT; derivatives/sub-sample the mask and the centroids. The same seed
    gives the same bytes.
    """
    rng = np.random.default_rng(seed)
    anatomy = invent_anatomy(LATTICE, rng, names=REGULAR, variation=0.3)
    return write_scan(folder, NAME, anatomy, render_ct(anatomy, rng, SAMPLE))
