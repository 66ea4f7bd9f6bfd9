import numpy as np
import pytest
import scipy.ndimage

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.procedural import invent_anatomy
from verse_train.synthetic.spine_curve import REGULAR

from .bodies import PART, WHOLE, mean_body, part_of_a_body


def label_at(anatomy, point):
    i, j, k = np.rint(anatomy.lattice.index(point)).astype(int)
    return anatomy.vertebrae[k, j, i]


def test_all_vertebrae_of_a_whole_body_are_there_head_to_foot():
    body = mean_body()
    assert [c.label for c in body.centroids] == [label_of(name) for name in REGULAR]
    assert body.cut_centroids == ()
    assert set(np.unique(body.vertebrae)) == {0, *(c.label for c in body.centroids)}
    heights = [c.point[2] for c in body.centroids]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_centroids_lie_in_the_body_of_their_label(seed):
    anatomy = part_of_a_body(seed)
    assert len(anatomy.centroids) >= 2
    for centroid in (*anatomy.centroids, *anatomy.cut_centroids):
        assert label_at(anatomy, centroid.point) == centroid.label
        # Not in a process: bone all around.
        i, j, k = np.rint(anatomy.lattice.index(centroid.point)).astype(int)
        if 2 <= k < anatomy.lattice.size[2] - 2:
            around = anatomy.vertebrae[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2]
            assert (around == centroid.label).all()


def test_centroids_of_the_whole_body_lie_in_their_bodies_except_in_the_ring_of_c1():
    body = mean_body()
    for centroid in body.centroids[1:]:
        assert label_at(body, centroid.point) == centroid.label
    atlas = np.argwhere(body.vertebrae == label_of("C1"))
    middle = body.lattice.point(atlas.mean(axis=0)[::-1])
    assert middle == pytest.approx(body.centroids[0].point, abs=4)


@pytest.mark.parametrize("make", [mean_body, part_of_a_body])
def test_vertebra_tissue_is_exactly_where_vertebrae_are(make):
    anatomy = make()
    assert np.array_equal(anatomy.tissue == Tissue.VERTEBRA, anatomy.vertebrae > 0)
    assert anatomy.tissue.dtype == anatomy.vertebrae.dtype == np.uint8
    assert anatomy.tissue.shape == anatomy.vertebrae.shape == anatomy.lattice.shape


def test_a_seed_gives_one_body():
    one = part_of_a_body(1)
    again = invent_anatomy(PART, np.random.default_rng(1), names=REGULAR)
    assert np.array_equal(one.tissue, again.tissue)
    assert np.array_equal(one.vertebrae, again.vertebrae)
    assert [c.point for c in one.centroids] == [c.point for c in again.centroids]
    assert not np.array_equal(one.tissue, part_of_a_body(2).tissue)


def test_c1_of_a_whole_body_is_drawn_with_its_anterior_arch():
    body = mean_body()
    voxels = np.argwhere(body.vertebrae == label_of("C1"))[:, ::-1]
    reach = body.lattice.point(voxels) - body.centroids[0].point
    assert reach[:, 1].min() < -15
    assert np.abs(reach[:, 0]).max() > 34


def test_vertebrae_are_whole_pieces_apart_from_the_reach_of_their_neighbours():
    body = mean_body()
    for centroid in body.centroids:
        pieces, count = scipy.ndimage.label(body.vertebrae == centroid.label, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.9 * sizes.sum(), (centroid.label, count)


def test_a_field_of_view_tells_whole_vertebrae_from_cut_ones():
    """The same mean spine in a low box: a label is whole if the box holds all of its voxels."""
    body = mean_body()
    # On the same grid, from voxel plane 60 to 99.
    low = WHOLE.point((0, 0, 60))
    box = Lattice(tuple(low.tolist()), WHOLE.spacing, (WHOLE.size[0], WHOLE.size[1], 40))
    part = invent_anatomy(box, np.random.default_rng(0), names=REGULAR, variation=0.0)
    assert np.array_equal(part.vertebrae, body.vertebrae[60:100])
    volumes = [np.bincount(a.vertebrae.ravel(), minlength=29) for a in (body, part)]
    whole = {c.label for c in part.centroids}
    cut = {c.label for c in part.cut_centroids}
    for label in CRANIOCAUDAL_LABELS:
        if label in whole:
            assert volumes[1][label] == volumes[0][label]
        elif label in cut:
            assert 0 < volumes[1][label] < volumes[0][label]
    assert len(whole) >= 4
    assert cut
    heights = [c.point[2] for c in part.cut_centroids]
    assert min(heights) >= low[2]
    assert max(heights) <= low[2] + 39 * 4


def test_away_from_the_spine_there_is_no_vertebra_and_no_error():
    far = Lattice.centred((0.0, 0.0, 3000.0), 8.0, (20, 20, 10))
    anatomy = invent_anatomy(far, np.random.default_rng(0), names=REGULAR)
    assert not anatomy.vertebrae.any()
    assert anatomy.centroids == anatomy.cut_centroids == ()


def test_the_spine_is_posed_around_the_middle():
    shifted = Lattice.centred((7.0, -25.0 + 5.0, -150.0 + 100.0), 3.0, (60, 60, 50))
    anatomy = invent_anatomy(
        shifted, np.random.default_rng(0), names=REGULAR, middle=(7.0, 5.0, 100.0), variation=0.0
    )
    plain = part_of_a_body(0, 0.0)
    assert np.array_equal(anatomy.vertebrae, plain.vertebrae)
    for moved, centroid in zip(anatomy.centroids, plain.centroids, strict=True):
        assert np.subtract(moved.point, centroid.point) == pytest.approx([7, 5, 100])


def test_a_variant_column_has_its_vertebra():
    lattice = Lattice.centred((0.0, -25.0, -180.0), 4.0, (50, 50, 60))
    names = (*REGULAR[:19], "T13", *REGULAR[19:])
    anatomy = invent_anatomy(lattice, np.random.default_rng(0), names=names)
    labels = [c.label for c in anatomy.centroids]
    assert label_of("T13") in labels
    place = labels.index(label_of("T13"))
    assert labels[place - 1 : place + 2] == [label_of(n) for n in ("T12", "T13", "L1")]
