"""What reading any bytes at all may lead to: a sound CT, or a refusal that names the file."""

import numpy as np

from verse_infer.errors import InputError
from verse_infer.files.ct_reading import LARGEST_EXTENT_MM, read_ct
from verse_infer.files.verse import write_mask
from verse_infer.flags import FlagCode

MEMORY_LIMIT = 2**24


def read_or_refuse(path, written=None):
    """The CT, or None where it was refused; anything else is an AssertionError or what was raised.

    written: where to put a mask of the CT that was read, to see that its header can be written.
    """
    try:
        ct = read_ct(path, MEMORY_LIMIT)
    except InputError as error:
        refusal = str(error)
        missing = [part for part in (path.name, "expected", "got") if part not in refusal]
        if missing:
            raise AssertionError(f"{missing} not in the refusal: {refusal}") from error
        return None
    assert ct.hu.dtype == np.int16
    assert ct.hu.flags.c_contiguous
    assert ct.hu.shape == ct.lattice.shape
    assert ct.hu.min() >= -1024
    numbers = [*ct.lattice.origin, *ct.lattice.spacing, *ct.lattice.direction]
    assert np.isfinite(numbers).all()
    matrix = np.reshape(ct.lattice.direction, (3, 3))
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) > 0
    extent = np.asarray(ct.lattice.spacing) * ct.lattice.size
    assert extent.max() <= LARGEST_EXTENT_MM
    assert all(isinstance(flag.code, FlagCode) and flag.message for flag in ct.flags)
    if written is not None:
        write_mask(written, np.zeros(ct.hu.shape, np.uint8), ct.source)
    return ct
