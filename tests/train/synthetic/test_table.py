import numpy as np
import pytest

from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap, Tissue
from verse_train.synthetic.table import with_table

LATTICE = Lattice.centred((5.0, 0.0, 0.0), 2.0, (120, 140, 8))


def patient(back_row=60, lattice=LATTICE):
    """A slab of muscle whose back lies in this row (y grows to the back)."""
    tissue = np.full(lattice.shape, Tissue.AIR, np.uint8)
    tissue[:, 20 : back_row + 1, 20:100] = Tissue.MUSCLE
    return AnatomyMap(tissue, np.zeros_like(tissue), (), (), lattice)


@pytest.mark.parametrize("seed", range(5))
def test_the_table_lies_behind_the_patient_in_every_slice_in_two_shells(seed):
    anatomy = patient()
    found = with_table(anatomy, np.random.default_rng(seed))
    table = found.tissue == Tissue.TABLE
    assert (table == table[:1]).all()
    assert np.array_equal(found.tissue[~table], anatomy.tissue[~table])
    assert (anatomy.tissue[table] == Tissue.AIR).all()
    column = table[0, :, 60]
    rows = np.flatnonzero(column)
    assert rows.min() > 60
    assert np.count_nonzero(np.diff(column.astype(int)) == 1) == 2


def test_it_rises_to_both_sides_alike():
    table = with_table(patient(), np.random.default_rng(1)).tissue[0] == Tissue.TABLE
    upper = table.argmax(axis=0)
    assert upper[60] > upper[2]
    assert np.array_equal(upper[table.any(axis=0)], upper[::-1][table.any(axis=0)])


def test_nothing_is_drawn_where_no_air_is_behind_or_no_patient_there():
    full = patient(back_row=139)
    assert not (with_table(full, np.random.default_rng(0)).tissue[:, :, 60] == Tissue.TABLE).any()
    empty = AnatomyMap(*(np.zeros(LATTICE.shape, np.uint8),) * 2, (), (), LATTICE)
    assert not with_table(empty, np.random.default_rng(0)).tissue.any()
