"""Dice on real masks that trained no network, at given centroids.

python -m pytest tests/whole/test_real_masks.py -s prints what the model card states.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scipy.ndimage

from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid, from_source
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids
from verse_infer.segmentation import segment_vertebrae

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
#: TotalSegmentator's own numbers of the vertebrae.
TOTALSEGMENTATOR = {27: "L5", 28: "L4", 29: "L3", 30: "L2", 31: "L1"}

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data"),
]


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def report(name, scores):
    print(name, " ".join(f"{level} {score:.3f}" for level, score in scores.items()))


def test_totalsegmentators_example(pipeline):
    name = "sub-tsexample"
    ct = read_ct(DATA / "ct" / "rawdata" / name / f"{name}_ct.nii.gz")
    truth = DATA / "ct" / "derivatives" / name / f"{name}_seg-subreg_ctd.json"
    wanted = {label_of(level) for level in TOTALSEGMENTATOR.values()}
    given = [c for c in read_centroids(truth, ct.source, "verse") if c.label in wanted]
    (file,) = (DATA / "masks" / "tsexample").glob("*.nii*")
    labels = from_source(np.asarray(nib.load(file).dataobj), ct.source)
    mask = segment_vertebrae(ct, given, pipeline.networks["vertebra_segmentation"])
    scores = {
        level: dice(mask == label_of(level), labels == number)
        for number, level in TOTALSEGMENTATOR.items()
    }
    report("TotalSegmentator's example:", scores)
    assert np.mean(list(scores.values())) >= 0.88


def test_tptbox_crop(pipeline):
    folder = DATA / "masks" / "tptbox"
    ct = read_ct(folder / "sub-ct_label-22_ct.nii.gz")
    file = folder / "sub-ct_seg-vert_label-22_msk.nii.gz"
    labels = from_source(np.asarray(nib.load(file).dataobj), ct.source)
    own = labels == label_of("L3")
    # The file has no centroid: the deepest point of a mask lies in the vertebra's body.
    depth = scipy.ndimage.distance_transform_edt(own, ct.lattice.spacing[::-1])
    k, j, i = np.unravel_index(depth.argmax(), own.shape)
    given = [Centroid(label_of("L3"), tuple(ct.lattice.point((i, j, k)).tolist()))]
    mask = segment_vertebrae(ct, given, pipeline.networks["vertebra_segmentation"])
    scores = {"L3": dice(mask > 0, own)}
    report("TPTBox crop:", scores)
    assert scores["L3"] >= 0.88
