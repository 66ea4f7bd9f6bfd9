import numpy as np
import pytest

from verse_infer.ct import Ct
from verse_infer.lattice import Lattice
from verse_infer.resampling import bring_back, covering_block, sample

C, S = np.cos(0.3), np.sin(0.3)
GRIDS = {
    "plain": Lattice((-20.0, -25.0, -30.0), (0.8, 0.9, 1.5), (60, 62, 50)),
    "oblique": Lattice(
        (-20.0, -25.0, -30.0), (0.8, 0.9, 1.5), (60, 62, 50), (C, -S, 0, S, C, 0, 0, 0, 1)
    ),
}


def ramp(grid):
    """HU = 10x + 3y - 5z, linear in space, so that linear interpolation is exact."""
    k, j, i = np.indices(grid.shape)
    points = grid.point(np.stack([i, j, k], axis=-1))
    return Ct(np.rint(points @ [10, 3, -5]).astype(np.int16), grid)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_a_linear_ramp_is_sampled_exactly(name, smoothing):
    ct = ramp(GRIDS[name])
    centre = GRIDS[name].point((30, 31, 25))
    lattice = Lattice.centred(centre, 1.0, (12, 10, 14))
    k, j, i = np.indices(lattice.shape)
    expected = lattice.point(np.stack([i, j, k], axis=-1)) @ [10, 3, -5]
    assert np.abs(sample(ct, lattice, smoothing) - expected).max() < 1.0  # voxels are rounded


@pytest.mark.parametrize("name", GRIDS)
def test_a_coarse_lattice_sees_means_not_single_voxels(name):
    grid = GRIDS[name]
    noise = np.random.default_rng(0).normal(0, 300, grid.shape).astype(np.int16)
    lattice = Lattice.centred(grid.point((30, 31, 25)), 8.0, (3, 3, 4))
    assert np.abs(sample(Ct(noise, grid), lattice)).max() < 120


def test_outside_the_scan_is_air_and_the_border_is_not_darkened():
    grid = Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (20, 20, 20))
    ct = Ct(np.full(grid.shape, 500, np.int16), grid)
    row = sample(ct, Lattice((-2.0, 5.0, 5.0), (0.5, 1.0, 1.0), (10, 1, 1)))[0, 0]
    assert row.tolist() == [-1024.0] * 3 + [500.0] * 7
    far = Lattice((100.0, 0.0, 0.0), (1.0, 1.0, 1.0), (4, 4, 4))
    assert (sample(ct, far) == -1024).all()
    assert bring_back(np.ones(far.shape, np.float32), far, grid) is None


@pytest.mark.parametrize("name", GRIDS)
def test_bringing_back_puts_values_where_they_were(name):
    grid = GRIDS[name]
    ct = ramp(grid)
    lattice = Lattice.centred(grid.point((30, 31, 25)), 1.0, (16, 16, 16))
    block, values = bring_back(sample(ct, lattice), lattice, grid)
    k, j, i = (
        axis + part.start for axis, part in zip(np.indices(values.shape), block, strict=True)
    )
    index = lattice.index(grid.point(np.stack([i, j, k], axis=-1)))
    inside = ((index >= 0) & (index <= 15)).all(axis=-1)
    assert inside.sum() > 1000
    assert np.abs(values - ct.hu[block])[inside].max() < 2.0
    far_out = ((index < -1) | (index > 16)).any(axis=-1)
    assert (values[far_out] == 0).all()


def test_only_the_needed_block_is_covered():
    grid = Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (100, 100, 100))
    lattice = Lattice((10.2, 20.0, 30.0), (1.0, 1.0, 1.0), (5, 6, 7))
    assert covering_block(grid, lattice, (0, 0, 0)) == (
        slice(30, 37),
        slice(20, 26),
        slice(10, 16),
    )
