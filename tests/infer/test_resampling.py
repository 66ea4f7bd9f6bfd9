import numpy as np
import pytest

from tests.helpers.itk_resampling import itk_image, itk_resample, itk_sample
from verse_infer.ct import Ct
from verse_infer.grid import Lattice
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


def body(grid):
    """Noisy air, tissue and bone."""
    rng = np.random.default_rng(0)
    k, j, i = np.indices(grid.shape)
    distance = np.linalg.norm(grid.point(np.stack([i, j, k], axis=-1)), axis=-1)
    hu = np.where(distance < 12, 700, np.where(distance < 25, 60, -1000))
    return Ct(np.rint(hu + rng.normal(0, 20, grid.shape)).astype(np.int16), grid)


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


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("spacing", "factors"), [(1.0, (1, 1, 1)), (2.0, (1, 1, 1)), (8.0, (5, 4, 2))]
)
def test_sampling_agrees_with_itks_filters(name, spacing, factors):
    """Bone beside air and noise; the margin around a lattice cuts the Gaussian off."""
    grid = GRIDS[name]
    ct = body(grid)
    lattice = Lattice.centred(grid.point((30, 31, 25)), spacing, (40, 36, 44))
    expected = itk_sample(ct, lattice, 0.75, factors)
    inside = itk_resample(itk_image(np.ones(grid.shape, np.float32), grid), lattice, 0.0) == 1
    inside &= expected > -1024
    difference = np.abs(sample(ct, lattice, 0.75) - expected)[inside]
    assert inside.sum() > 50
    assert difference.max() < 0.5
    assert difference.mean() < 0.01


@pytest.mark.parametrize("name", GRIDS)
def test_bringing_back_agrees_with_itk(name):
    grid = GRIDS[name]
    lattice = Lattice.centred(grid.point((30.3, 31.2, 25.4)), 1.0, (24, 20, 28))
    values = np.random.default_rng(0).random(lattice.shape).astype(np.float32)
    block, brought = bring_back(values, lattice, grid)
    expected = itk_resample(itk_image(values, lattice), grid.part(block), 0.0)
    assert np.abs(brought - expected).max() < 1e-4


@pytest.mark.parametrize("slices", [1, 2, 3])
@pytest.mark.parametrize("spacing", [1.0, 8.0])
def test_thin_volumes_are_sampled(slices, spacing):
    grid = Lattice((0.0, 0.0, 0.0), (0.7, 0.7, 3.0), (60, 60, slices))
    ct = Ct(np.full(grid.shape, 300, np.int16), grid)
    values = sample(ct, Lattice.centred((20.0, 20.0, 1.5 * (slices - 1)), spacing, (4, 4, 9)), 0.75)
    assert set(np.rint(values).ravel().tolist()) <= {-1024.0, 300.0}
    assert (np.rint(values) == 300).any()


def test_a_constant_scan_stays_constant_up_to_its_borders():
    grid = Lattice((0.0, 0.0, 0.0), (0.6, 0.7, 1.1), (61, 53, 37))
    ct = Ct(np.full(grid.shape, 777, np.int16), grid)
    for spacing in (1.0, 2.0, 8.0):
        lattice = Lattice((0.0, 0.0, 0.0), (spacing,) * 3, (4, 4, 4))
        assert sample(ct, lattice, 0.75) == pytest.approx(777, abs=0.01)


def test_a_reversed_grid_is_parallel_too():
    grid = GRIDS["plain"]
    ct = body(grid)
    last = grid.point((0, 0, grid.size[2] - 1))
    flipped = Lattice(
        tuple(last.tolist()), grid.spacing, grid.size, (1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0)
    )
    same = Ct(np.ascontiguousarray(ct.hu[::-1]), flipped)
    lattice = Lattice.centred(grid.point((30, 31, 25)), 1.0, (20, 20, 20))
    assert sample(same, lattice, 0.75) == pytest.approx(sample(ct, lattice, 0.75), abs=0.01)
