import numpy as np
import pytest
import scipy.ndimage
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from verse_infer.resampling import (
    apply_matrices,
    gaussian_matrix,
    interpolation_matrix,
    mean_matrix,
)


def test_means_leave_out_what_does_not_fill_one():
    assert (mean_matrix(7, 3) @ np.arange(7.0)).tolist() == pytest.approx([1.0, 4.0])


@pytest.mark.parametrize("size", [4, 5, 40])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
def test_the_gaussian_is_itks_and_repeats_the_border(size, sigma):
    line = np.random.default_rng(0).normal(size=size)
    smoothed = gaussian_matrix(size, sigma) @ line
    image = sitk.GetImageFromArray(np.tile(line, (4, 1)))
    itk = sitk.GetArrayFromImage(sitk.RecursiveGaussian(image, sigma, direction=0))[0]
    assert smoothed == pytest.approx(itk, abs=1e-6)
    exact = scipy.ndimage.gaussian_filter1d(line, sigma, mode="nearest", truncate=6.0)
    assert smoothed == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_interpolation_is_linear_and_repeats_the_border(size):
    line = np.random.default_rng(0).normal(size=size)
    positions = np.array([-3.0, -0.5, 0.0, 0.3, 0.99, size - 1.0, size - 0.6, size + 4.0])
    expected = np.interp(positions, np.arange(size), line)
    assert interpolation_matrix(positions, size) @ line == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize("shape", [(9, 7, 5), (1, 1, 1), (70, 300, 300)])
def test_every_axis_is_multiplied_by_its_own_matrix(kind, shape):
    rng = np.random.default_rng(0)
    block = rng.integers(-1000, 1000, shape).astype(kind)
    z, y, x = (rng.normal(size=(4, n)).astype(np.float32) for n in shape)
    expected = np.einsum("ck,bj,ai,kji->cba", z, y, x, block.astype(np.float64), optimize=True)
    assert apply_matrices(block, (x, y, z)) == pytest.approx(expected, rel=1e-3, abs=2.0)


def test_a_view_with_other_strides_gives_the_same():
    block = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
    matrices = [np.eye(n, dtype=np.float32) for n in (8, 7, 6)]
    assert (apply_matrices(block, matrices) == block).all()
    assert (apply_matrices(block[::-1, :, ::-1], matrices) == block[::-1, :, ::-1]).all()


@st.composite
def banded(draw, columns):
    """Rows that each look at a few neighbouring columns, at any, at all of them or at none."""
    rows, seed = draw(st.integers(1, 60)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    matrix = np.zeros((rows, columns), np.float32)
    for row in matrix:
        start, stop = np.sort(rng.integers(0, columns + 1, 2))
        row[start : min(stop, start + rng.integers(1, columns + 1))] = rng.normal()
    return matrix


@given(st.tuples(*[st.integers(1, 70)] * 3), st.data())
@settings(max_examples=60, deadline=None)
def test_only_what_is_zero_is_left_out_of_the_products(shape, data):
    z, y, x = (data.draw(banded(n)) for n in shape)
    block = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    expected = np.einsum("ck,bj,ai,kji->cba", z, y, x, block.astype(np.float64), optimize=True)
    assert apply_matrices(block, (x, y, z)) == pytest.approx(expected, rel=1e-3, abs=2.0)


def test_the_tails_of_a_gaussian_are_left_out_within_a_thousandth_hu():
    matrix = gaussian_matrix(240, 1.5)
    block = np.random.default_rng(0).integers(-1000, 3000, (1, 1, 240)).astype(np.int16)
    one = np.ones((1, 1), np.float32)
    exact = matrix.astype(float) @ block[0, 0]
    assert apply_matrices(block, (matrix, one, one))[0, 0] == pytest.approx(exact, abs=2e-3)
