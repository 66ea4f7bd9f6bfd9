import numpy as np
import pytest

from verse_infer.anatomy import label_of, name_of
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.spine_curve import KIND_SHARES
from verse_train.synthetic.views import VIEWS, View, cut_out, invented

from .bodies import mean_body


def seen_in(kind, seed, size=(44, 44, 80)):
    return invented(kind, VIEWS[kind], 5.0, size, np.random.default_rng(seed))


def test_every_kind_of_column_has_a_view():
    assert set(VIEWS) == set(KIND_SHARES)


@pytest.mark.parametrize(("kind", "odd"), [("L6", "L6"), ("T13", "T13")])
def test_a_column_has_the_vertebra_of_its_kind(kind, odd):
    assert label_of(odd) in np.unique(seen_in(kind, 0).vertebrae)


def test_a_view_shows_its_anatomy_only_where_all_it_must_hold_is_whole():
    anatomy = seen_in("regular", 1)
    whole = [name_of(c.label) for c in anatomy.centroids]
    cut = [name_of(c.label) for c in anatomy.cut_centroids]
    assert View((0.0, 0.0)).shows(anatomy)
    assert View((0.0, 0.0), tuple(whole)).shows(anatomy)
    assert not View((0.0, 0.0), (*whole, "L6")).shows(anatomy)
    assert cut
    assert not View((0.0, 0.0), (whole[0], cut[0])).shows(anatomy)


def test_a_cut_out_shows_the_atlas_where_it_lies():
    atlas = mean_body()
    found = cut_out(atlas, 4.0, (30, 30, 30), np.random.default_rng(0))
    for k, j, i in np.random.default_rng(1).integers(0, 30, (200, 3)):
        point = found.lattice.point((i, j, k))
        u, v, w = np.rint(atlas.lattice.index(point)).astype(int)
        inside = ((u, v, w) < np.array(atlas.lattice.size)).all() and min(u, v, w) >= 0
        assert found.vertebrae[k, j, i] == (atlas.vertebrae[w, v, u] if inside else 0)
        assert found.tissue[k, j, i] == (atlas.tissue[w, v, u] if inside else Tissue.AIR)


def test_a_cut_out_tells_whole_vertebrae_from_cut_ones():
    atlas = mean_body()
    volumes = np.bincount(atlas.vertebrae.ravel(), minlength=29)
    seen_cut = False
    for seed in range(6):
        found = cut_out(atlas, 4.0, (36, 36, 30), np.random.default_rng(seed))
        shares = np.bincount(found.vertebrae.ravel(), minlength=29) / np.maximum(volumes, 1)
        points = {c.label: c.point for c in atlas.centroids}
        for centroid in found.centroids:
            assert shares[centroid.label] > 0.9
            assert centroid.point == points[centroid.label]
        for centroid in found.cut_centroids:
            border = found.vertebrae[[0, -1]] == centroid.label
            assert shares[centroid.label] <= 0.9 or border.any()
            seen_cut = True
        assert not {c.label for c in found.centroids} & {c.label for c in found.cut_centroids}
    assert seen_cut
