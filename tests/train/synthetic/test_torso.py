import numpy as np
import pytest

from verse_infer.anatomy import label_of
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.spine_curve import REGULAR, pose_spine
from verse_train.synthetic.torso import add_pelvis, add_ribs, add_skull, soft_tissue

from .bodies import WHOLE, mean_body, tissue_at

LUMBAR = Lattice.centred((0.0, -25.0, -60.0), 4.0, (90, 70, 60))


def spine_of(names):
    return pose_spine(names, np.random.default_rng(0), 0.0)


def heights_of(tissue, kind, lattice=WHOLE):
    k = np.flatnonzero((tissue == kind).any(axis=(1, 2)))
    return lattice.origin[2] + lattice.spacing[2] * k


def centre_of(body, name):
    return np.array(next(c.point for c in body.centroids if c.label == label_of(name)))


def test_the_body_stands_in_air_and_has_skin_fat_muscle_organs_and_blood():
    tissue = mean_body().tissue
    assert (tissue[:, :, [0, -1]] == Tissue.AIR).all()
    assert ((tissue != Tissue.AIR).sum(axis=(1, 2)) > 100).all()
    present = set(np.unique(tissue))
    expected = {
        *(Tissue.AIR, Tissue.FAT, Tissue.MUSCLE, Tissue.SKIN, Tissue.LUNG, Tissue.SOFT_ORGAN),
        *(Tissue.BLOOD, Tissue.DISC, Tissue.SPINAL_CANAL, Tissue.VERTEBRA, Tissue.RIB),
        *(Tissue.SACRUM, Tissue.OTHER_BONE),
    }
    assert expected <= present
    assert Tissue.TABLE not in present


def test_discs_and_canal_lie_between_and_behind_the_bodies():
    body = mean_body()
    for upper, lower in (("L1", "L2"), ("L4", "L5"), ("T8", "T9")):
        between = (centre_of(body, upper) + centre_of(body, lower)) / 2
        column = [tissue_at(body, between + np.array([0, 0, step])) for step in (-4, 0, 4)]
        assert Tissue.DISC in column
    behind = centre_of(body, "L3") + np.array([0, 26.0, 0])
    assert tissue_at(body, behind) == Tissue.SPINAL_CANAL


def test_lungs_are_in_the_chest_only():
    body = mean_body()
    heights = heights_of(body.tissue, Tissue.LUNG)
    assert heights.min() > centre_of(body, "L1")[2]
    assert heights.max() < centre_of(body, "C7")[2]


def test_ribs_are_paired_belong_to_the_thorax_and_spare_vertebrae():
    body = mean_body()
    heights = heights_of(body.tissue, Tissue.RIB)
    assert centre_of(body, "L5")[2] < heights.min() < centre_of(body, "T10")[2]
    assert centre_of(body, "T2")[2] < heights.max() < centre_of(body, "C6")[2]
    x = WHOLE.origin[0] + 4.0 * np.nonzero(body.tissue == Tissue.RIB)[2]
    left, right = (x > 0).sum(), (x < 0).sum()
    assert left == pytest.approx(right, rel=0.15)
    assert np.abs(x).min() > 8  # none through the canal


@pytest.mark.parametrize(("names", "ribs"), [(("L1", "L2", "L3"), False), (("T11", "T12"), True)])
def test_only_thoracic_vertebrae_carry_ribs(names, ribs):
    tissue = np.full(LUMBAR.shape, Tissue.FAT, np.uint8)
    add_ribs(tissue, LUMBAR, spine_of(names))
    assert (tissue == Tissue.RIB).any() == ribs


def test_bone_that_is_there_is_not_drawn_over():
    spine = spine_of(REGULAR)
    for kind in (Tissue.VERTEBRA, Tissue.DISC, Tissue.SPINAL_CANAL):
        tissue = np.full(WHOLE.shape, kind, np.uint8)
        add_ribs(tissue, WHOLE, spine)
        add_pelvis(tissue, WHOLE, spine, np.random.default_rng(0))
        assert (tissue == kind).all()


def test_the_sacrum_lies_below_the_last_lumbar_vertebra_and_needs_one():
    body = mean_body()
    heights = heights_of(body.tissue, Tissue.SACRUM)
    assert heights.max() < centre_of(body, "L5")[2]
    tissue = np.full(LUMBAR.shape, Tissue.FAT, np.uint8)
    add_pelvis(tissue, LUMBAR, spine_of(("T11", "T12")), np.random.default_rng(0))
    assert (tissue == Tissue.FAT).all()


def test_the_skull_lies_above_c1_and_needs_it():
    body = mean_body()
    first = centre_of(body, "C1")
    above = body.tissue[int(WHOLE.index(first)[2]) + 8 :]
    assert (above == Tissue.OTHER_BONE).any()
    tissue = np.full(LUMBAR.shape, Tissue.FAT, np.uint8)
    add_skull(tissue, LUMBAR, spine_of(("C2", "C3")))
    assert (tissue == Tissue.FAT).all()


def test_the_cord_passes_through_the_skull_base():
    body = mean_body()
    first = centre_of(body, "C1")
    path = [tissue_at(body, first + np.array([0, 0, step])) for step in range(0, 60, 4)]
    assert Tissue.OTHER_BONE not in path


def test_soft_tissue_follows_the_seed_and_the_spine():
    spine = spine_of(REGULAR)
    one, again, other = (
        soft_tissue(LUMBAR, spine, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == LUMBAR.shape
