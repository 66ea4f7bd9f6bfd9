"""Synthetic scans as files: a restructured VerSe data set with exact centroids and masks."""

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import SourceGeometry, to_source
from verse_infer.files.atomic import atomic_write
from verse_infer.files.verse import write_centroids, write_mask
from verse_infer.grid import RAS_TO_LPS, Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap


def write_scan(folder: Path, name: str, anatomy: AnatomyMap, hu: NDArray[np.int16]) -> Path:
    """One scan into rawdata/NAME and its truth into derivatives/NAME; returns the CT's path.

    hu: z, y, x on the anatomy's lattice. The CT appears last and only when whole.
    """
    source = _source(anatomy.lattice)
    truth = folder / "derivatives" / name
    truth.mkdir(parents=True, exist_ok=True)
    write_centroids(truth / f"{name}_seg-subreg_ctd.json", anatomy.centroids, source, "verse")
    write_mask(truth / f"{name}_seg-vert_msk.nii.gz", anatomy.vertebrae, source)
    ct = folder / "rawdata" / name / f"{name}_ct.nii.gz"
    image = nib.Nifti1Image(to_source(hu, source), source.affine, source.header)
    image.header.set_data_dtype(np.int16)
    with atomic_write(ct) as partial:
        nib.save(image, partial)
    return ct


def _source(lattice: Lattice) -> SourceGeometry:
    """A file geometry with axes P, I, R, as VerSe's own files often have."""
    size, spacing = lattice.size, lattice.spacing
    shape = (size[1], size[2], size[0])
    lps = np.zeros((4, 4))
    lps[1, 0], lps[2, 1], lps[0, 2] = spacing[1], -spacing[2], -spacing[0]
    lps[:3, 3] = lattice.point((size[0] - 1, 0, size[2] - 1))
    lps[3, 3] = 1.0
    affine = RAS_TO_LPS @ lps
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header.set_xyzt_units("mm")
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    return SourceGeometry.of(affine, shape, header)
