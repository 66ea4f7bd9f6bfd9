import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verse_infer.grid import Lattice

C, S = np.cos(0.3), np.sin(0.3)
OBLIQUE = Lattice((10, -20, 30), (0.7, 0.8, 2.5), (40, 50, 60), (C, -S, 0, S, C, 0, 0, 0, 1))
numbers = st.floats(-500, 500)


@given(st.tuples(numbers, numbers, numbers))
def test_index_undoes_point(point):
    assert OBLIQUE.point(OBLIQUE.index(point)) == pytest.approx(point, abs=1e-9)


def test_axes_run_as_the_direction_columns_say():
    step = OBLIQUE.point((1, 0, 0)) - OBLIQUE.point((0, 0, 0))
    assert step == pytest.approx((0.7 * C, 0.7 * S, 0))


def test_centred_lattice_has_its_middle_at_the_centre():
    lattice = Lattice.centred((1.0, 2.0, 3.0), 2.0, (4, 5, 6))
    assert lattice.corners().mean(axis=0) == pytest.approx((1, 2, 3))
    assert lattice.shape == (6, 5, 4)
