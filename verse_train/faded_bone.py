"""Vertebrae as they look in osteoporosis: a bright shell around bone that is hardly denser than muscle."""

from dataclasses import replace

import numpy as np
import scipy.ndimage

from verse_train.prepared import PreparedCase

#: Mean of the faded inside: muscle is 40 to 70 HU, marrow without bone may have less than 0.
INSIDE_HU = (0.0, 90.0)
#: How much of the way towards that mean the inside goes.
SHARE = (0.6, 1.0)
#: Thickness of the shell that stays, mm.
SHELL_MM = (1.0, 2.5)


def faded(case: PreparedCase, rng: np.random.Generator) -> PreparedCase:
    """The case with the inside of all its vertebrae faded towards one density.

    Needs a mask. The shell, everything around the vertebrae and the mask stay as they are.
    """
    if case.mask is None:
        raise ValueError(f"{case.name} has no mask; expected one that says where bone is")
    bone = case.mask > 0
    if not bone.any():
        return case
    (block,) = scipy.ndimage.find_objects(bone.astype(np.int8))
    around = np.pad(bone[block], 1)
    depth = scipy.ndimage.distance_transform_edt(around, case.lattice.spacing[::-1])
    depth = depth[1:-1, 1:-1, 1:-1]
    shell = rng.uniform(*SHELL_MM)
    # From the shell to the inside within 1 mm.
    weight = rng.uniform(*SHARE) * np.clip(depth - shell, 0.0, 1.0)
    hu = case.hu.copy()
    hu[block] = np.rint(hu[block] + weight * (rng.uniform(*INSIDE_HU) - hu[block]))
    return replace(case, hu=hu)
