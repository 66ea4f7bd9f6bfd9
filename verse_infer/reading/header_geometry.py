"""What a NIfTI header says about space, more than once: zooms, qform, sform. Do they agree?"""

from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from verse_infer.errors import InputError
from verse_infer.reading.nifti_preamble import Preamble

#: sform and qform that differ by less at every corner are one; files store single precision, mm.
AGREEMENT_MM = 0.5
#: Zooms further than this share from the affine's voxel sizes are another statement.
ZOOM_TOLERANCE = 0.01


def checked_header(path: Path, image: Any, preamble: Preamble) -> tuple[Any, tuple[str, ...]]:
    """A header whose zooms are the affine's, and flags where the file's were not.

    The output's header copies it. Unusable zooms are refused where the affine rests on them, that
    is without an sform; InputError.
    """
    header = image.header.copy()
    used = np.linalg.norm(np.asarray(image.affine, np.float64)[:3, :3], axis=0)
    stated = np.asarray(preamble.zooms)
    usable = bool(np.isfinite(stated).all() and (stated != 0).all())
    if not usable and int(header["sform_code"]) == 0:
        raise InputError(f"{path}: expected voxel sizes above 0 mm, got {preamble.zooms}")
    if np.allclose(stated, used, rtol=ZOOM_TOLERANCE, atol=0):
        return header, ()
    header["pixdim"][1:4] = used
    if usable and np.allclose(np.abs(stated), used, rtol=ZOOM_TOLERANCE, atol=0):
        return header, (f"negative zooms {_rounded(stated)} taken as positive",)
    return header, (
        f"zooms {_rounded(stated)} mm in the header, {_rounded(used)} mm in its sform: sform used",
    )


def orientation_flags(header: Any, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Flags where the file states no orientation, or two different ones."""
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        return ("file states no orientation (sform and qform codes 0): axes taken as nibabel does",)
    if int(header["sform_code"]) == 0 or int(header["qform_code"]) == 0:
        return ()
    try:
        qform = header.get_qform()
    except (ValueError, HeaderDataError, FloatingPointError):
        return ("qform cannot be read: sform used",)
    apart = _farthest_mm(np.asarray(header.get_sform()), np.asarray(qform), shape)
    if apart > AGREEMENT_MM or not np.isfinite(apart):
        return (f"sform and qform disagree by up to {apart:.3g} mm: sform used",)
    return ()


def _farthest_mm(
    first: NDArray[np.float64], second: NDArray[np.float64], shape: tuple[int, ...]
) -> float:
    """Largest distance, over the eight corners, between where two affines put them."""
    corners = [[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    places = np.array(corners) * [*(n - 1 for n in shape), 1]
    return float(np.linalg.norm(places @ (first - second).T, axis=1).max())


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.3g}") for value in values)
