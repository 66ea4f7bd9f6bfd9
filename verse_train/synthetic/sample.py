"""The sample scan: an invented torso that anyone may have, with its exact truth."""

from pathlib import Path

import nibabel as nib
import numpy as np

from verse_infer.atomic import atomic_write
from verse_infer.ct import SourceGeometry, to_source
from verse_infer.grid_geometry import RAS_TO_LPS, grid_geometry
from verse_infer.lattice import Lattice
from verse_infer.verse_files import write_centroids, write_mask
from verse_train.synthetic.anatomy_map import AnatomyMap
from verse_train.synthetic.procedural import invent_anatomy
from verse_train.synthetic.rendering import SAMPLE, render_ct

NAME = "sub-sample"
#: Field of view: about T10 to the sacrum, 1 mm in plane, 1.5 mm slices.
LATTICE = Lattice((-140.0, -165.0, -330.0), (1.0, 1.0, 1.5), (281, 261, 200))


def write_sample(folder: Path, seed: int = 1) -> Path:
    """Write the sample as a restructured VerSe data set; returns the CT's path.

    rawdata/sub-sample holds the CT; derivatives/sub-sample the mask and the centroids. The same seed
    gives the same bytes.
    """
    rng = np.random.default_rng(seed)
    anatomy = invent_anatomy(LATTICE, rng, variation=0.3)
    hu = render_ct(anatomy, rng, SAMPLE)
    source = _source(anatomy)
    ct = folder / "rawdata" / NAME / f"{NAME}_ct.nii.gz"
    image = nib.Nifti1Image(to_source(hu, source), source.affine, source.header)
    image.header.set_data_dtype(np.int16)
    with atomic_write(ct) as partial:
        nib.save(image, partial)
    truth = folder / "derivatives" / NAME
    write_centroids(truth / f"{NAME}_seg-subreg_ctd.json", anatomy.centroids, source, "verse")
    write_mask(truth / f"{NAME}_seg-vert_msk.nii.gz", anatomy.vertebrae, source)
    return ct


def _source(anatomy: AnatomyMap) -> SourceGeometry:
    """A file geometry with axes P, I, R, as VerSe's own files often have."""
    size, spacing = anatomy.lattice.size, anatomy.lattice.spacing
    shape = (size[1], size[2], size[0])
    lps = np.zeros((4, 4))
    lps[1, 0], lps[2, 1], lps[0, 2] = spacing[1], -spacing[2], -spacing[0]
    lps[:3, 3] = anatomy.lattice.point((size[0] - 1, 0, size[2] - 1))
    lps[3, 3] = 1.0
    affine = RAS_TO_LPS @ lps
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header.set_xyzt_units("mm")
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    geometry = grid_geometry(affine, shape)
    return SourceGeometry(affine, shape, header, geometry.axes, geometry.flips)
