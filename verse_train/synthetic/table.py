"""The scanner's table under a patient who lies on the back."""

from dataclasses import replace

import numpy as np

from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.boxes import axes_mm

#: The table's shell: gap to the back, thickness, distance of its lower side, radius of its hollow; mm.
_GAP, _SHELL, _DEPTH, _HOLLOW = (0.0, 12.0), (1.5, 4.0), (15.0, 60.0), (250.0, 900.0)
#: So much of the width of a body must lie in a slice of the back to be what the patient lies on.
_BACK_MM = 40.0


def with_table(anatomy: AnatomyMap, rng: np.random.Generator) -> AnatomyMap:
    """The anatomy with the upper and lower shell of a hollowed table, where the lattice shows them.

    The lattice is axis-aligned in LPS. Only air gives way; nothing is drawn where no air lies behind.
    """
    lattice = anatomy.lattice
    solid = (anatomy.tissue != Tissue.AIR).any(axis=0).sum(axis=1) * lattice.spacing[0]
    rows = np.flatnonzero(solid >= _BACK_MM)
    gap, shell, depth, hollow = (rng.uniform(*ends) for ends in (_GAP, _SHELL, _DEPTH, _HOLLOW))
    if not len(rows):
        return anatomy
    x, y, _ = axes_mm(lattice)
    middle = float(x.mean())
    # Seen from the patient the table rises to both sides.
    top = float(y[rows[-1]]) + gap - (x - middle) ** 2 / (2 * hollow)
    below = y[:, None] - top[None, :]
    shell = max(shell, lattice.spacing[1])
    table = ((below >= 0) & (below < shell)) | ((below >= depth) & (below < depth + shell))
    tissue = anatomy.tissue.copy()
    tissue[(tissue == Tissue.AIR) & table[None]] = Tissue.TABLE
    return replace(anatomy, tissue=tissue)
