import numpy as np
import pytest

from verse_infer.anatomy import label_of, name_of
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.donor import add_donor_pelvis, donor_from
from verse_train.synthetic.procedural import Bones, invent_anatomy
from verse_train.synthetic.spine_curve import column_of, posed_along
from verse_train.synthetic.vertebra_shape import shape_of

from .bodies import mean_body

LUMBAR = Lattice.centred((0.0, 0.0, -260.0), 4.0, (60, 60, 80))


@pytest.fixture(scope="module")
def donor():
    return donor_from(mean_body())


def test_a_donor_s_vertebra_lies_in_its_own_frame_as_in_the_body(donor):
    body = donor.body
    model = donor.vertebrae[label_of("L2")]
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in body.lattice.size), indexing="ij"), axis=-1)
    local = model.frame.local(body.lattice.point(grid))
    found = model.inside(local).transpose(2, 1, 0)
    assert np.array_equal(found, body.vertebrae == label_of("L2"))
    within = ((local >= model.low) & (local <= model.high)).all(axis=-1).transpose(2, 1, 0)
    assert within[found].all()


def test_the_body_of_a_donor_s_vertebra_is_measured(donor):
    model = donor.vertebrae[label_of("L3")]
    shape = shape_of(label_of("L3"), model.frame.distance, np.random.default_rng(0), 0.0)
    assert model.width == pytest.approx(0.9 * shape.width, abs=4.5)
    assert model.depth == pytest.approx(0.9 * shape.depth, abs=4.5)
    ring = donor.vertebrae[label_of("C1")]
    assert (ring.width, ring.depth) == (0.0, 0.0)


def test_levels_that_a_regular_column_lacks_are_modelled_on_their_neighbour(donor):
    assert donor.model_of(label_of("L6")) is donor.vertebrae[label_of("L5")]
    assert donor.model_of(label_of("T13")) is donor.vertebrae[label_of("T12")]
    assert donor.model_of(label_of("C3")) is donor.vertebrae[label_of("C3")]


@pytest.mark.parametrize("kind", ["regular", "L6", "no L5"])
def test_an_invented_column_of_a_donor_s_bones_has_a_sacrum_right_below_it(donor, kind):
    names = column_of(kind)
    anatomy = invent_anatomy(
        LUMBAR, np.random.default_rng(3), names=names, bones=Bones(donor=donor)
    )
    seen = [name_of(c.label) for c in anatomy.centroids]
    assert seen[-1] == names[-1]
    for centroid in anatomy.centroids:
        i, j, k = np.rint(LUMBAR.index(centroid.point)).astype(int)
        assert anatomy.vertebrae[k, j, i] == centroid.label
    z = LUMBAR.origin[2] + 4.0 * np.nonzero(anatomy.tissue == Tissue.SACRUM)[0]
    last = anatomy.centroids[-1].point[2]
    assert -15 < z.max() - (last - 15) < 15
    assert z.min() < last - 30


def test_a_donor_gives_other_shapes_than_a_formula_and_the_same_again(donor):
    def vertebrae(seed, bones):
        rng = np.random.default_rng(seed)
        names = column_of("regular")
        return invent_anatomy(LUMBAR, rng, names=names, bones=bones).vertebrae

    once = vertebrae(0, Bones(donor=donor))
    assert np.array_equal(once, vertebrae(0, Bones(donor=donor)))
    assert not np.array_equal(once, vertebrae(0, Bones()))
    assert not np.array_equal(once, vertebrae(1, Bones(donor=donor)))


def test_below_other_than_lumbar_vertebrae_there_is_no_pelvis(donor):
    tissue = np.full(LUMBAR.shape, Tissue.FAT, np.uint8)
    chest = posed_along([18, 19], [(0.0, 0.0, -200.0), (0.0, 0.0, -225.0)])
    add_donor_pelvis(tissue, LUMBAR, chest[-1], donor, np.random.default_rng(0))
    assert (tissue == Tissue.FAT).all()
