"""The three layouts of the VerSe data, written small."""

import json

import nibabel as nib
import numpy as np

from verse_infer.anatomy import label_of

#: Axes L, P, I of voxels 1 × 1.5 × 2 mm (RAS affine): any orientation must do.
AFFINE = np.array([[-1.0, 0, 0, 40], [0, -1.5, 0, 30], [0, 0, -2.0, 200], [0, 0, 0, 1]])
SHAPE = (60, 44, 50)
#: Voxel index i, j, k of two vertebrae.
PLACES = {"L1": (30, 20, 10), "L2": (31, 22, 26)}


def write(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, affine).to_filename(path)


def volumes():
    """HU rise along the body by 10 per mm of z; labels are boxes around the vertebrae."""
    k = np.indices(SHAPE)[2]
    hu = ((200 - 2.0 * k) * 10 - 1000).astype(np.int16)
    mask = np.zeros(SHAPE, np.uint8)
    for name, (a, b, c) in PLACES.items():
        mask[a - 8 : a + 9, b - 6 : b + 7, c - 4 : c + 5] = label_of(name)
    return hu, mask


def lps(index):
    return (AFFINE @ [*index, 1])[:3] * (-1, -1, 1)


def directed(convention, index):
    """A voxel of the file's own axes (L, P, I) as X, Y, Z of a convention."""
    i, j, k = index
    mm = (1.0 * i, 1.5 * j, 2.0 * k)
    if convention == "verse19":  # inferior, posterior, left
        return mm[2], mm[1], mm[0]
    if convention == "verse20":  # posterior, inferior, right
        return mm[1], mm[2], (SHAPE[0] - 1) - mm[0]
    return index


def write_centroids(path, convention, places=PLACES):
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [
        {"label": label_of(name), **dict(zip("XYZ", directed(convention, p), strict=True))}
        for name, p in places.items()
    ]
    if convention == "verse":
        entries.insert(0, {"direction": ["L", "P", "I"]})
    path.write_text(json.dumps(entries))


def restructured(root, name="verse004", entity="", cut=False):
    stem = f"sub-{name}{entity}"
    hu, mask = volumes()
    raw, derived = root / "rawdata" / f"sub-{name}", root / "derivatives" / f"sub-{name}"
    write(raw / f"{stem}_ct.nii.gz", hu)
    write(derived / f"{stem}_seg-vert_msk.nii.gz", mask)
    write_centroids(derived / f"{stem}_seg-subreg_ctd.json", "verse")
    if cut:
        write_centroids(derived / f"{stem}_partial_ctd.json", "verse", {"L3": (31, 22, 44)})
    return root


def verse20(root, name="GL003_CT_ax"):
    hu, mask = volumes()
    write(root / name / f"{name}.nii.gz", hu)
    write(root / name / f"{name}_seg.nii.gz", mask)
    write_centroids(root / name / f"{name}_iso-ctd.json", "verse20")
    return root


def verse19(root, name="verse004"):
    hu, mask = volumes()
    write(root / f"{name}.nii.gz", hu)
    write(root / f"{name}_seg.nii.gz", mask)
    write_centroids(root / f"{name}_ctd.json", "verse19")
    return root


LAYOUTS = {"verse": restructured, "verse20": verse20, "verse19": verse19}
