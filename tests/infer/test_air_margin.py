import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.marked_ct import marked_ct, networks
from verse_infer.ct import Ct
from verse_infer.grid import Lattice
from verse_infer.pipeline import Pipeline, PipelineOptions, content_block, without_air_margin

margins = st.lists(st.integers(0, 4), min_size=6, max_size=6)


def padded(ct, before, after, value=-1000):
    """before, after: planes along z, y, x."""
    hu = np.pad(ct.hu, list(zip(before, after, strict=True)), constant_values=value)
    origin = ct.lattice.point([-n for n in reversed(before)]).tolist()
    size = tuple(reversed(hu.shape))
    return Ct(hu, Lattice(tuple(origin), ct.lattice.spacing, size, ct.lattice.direction))


@settings(max_examples=50, deadline=None)
@given(margins, st.sampled_from([-1024, -1000, -901]))
def test_padding_is_found_whatever_it_is(margin, value):
    rng = np.random.default_rng(0)
    ct = Ct(
        rng.integers(-1000, 1000, (5, 6, 7)).astype(np.int16),
        Lattice((1, 2, 3), (1, 2, 3), (7, 6, 5)),
    )
    content, block = without_air_margin(padded(ct, margin[:3], margin[3:], value))
    assert np.array_equal(content.hu, ct.hu)
    assert content.lattice.origin == pytest.approx(ct.lattice.origin)
    assert [s.start for s in block] == margin[:3]


def test_measured_air_and_constant_tissue_stay():
    noisy = np.random.default_rng(0).normal(-1000, 5, (6, 6, 6)).astype(np.int16)
    assert content_block(noisy) == (slice(0, 6),) * 3
    assert content_block(np.full((6, 6, 6), 40, np.int16)) == (slice(0, 6),) * 3


def test_nothing_but_padding_stays_whole():
    assert content_block(np.full((3, 4, 5), -1000, np.int16)) == (
        slice(0, 3),
        slice(0, 4),
        slice(0, 5),
    )


def test_a_padded_scan_gives_the_same_result():
    """Vertebrae near the scan's end are left out all the same."""
    ct = marked_ct()
    pipeline = Pipeline(networks(), PipelineOptions(end_margin_mm=45.0))
    usual, other = pipeline.run(ct), pipeline.run(padded(ct, (20, 3, 0), (9, 0, 31)))
    assert other.centroids == usual.centroids
    assert np.array_equal(other.mask[20:-9, 3:, :-31], usual.mask)
    assert other.mask.sum() == usual.mask.sum()


def test_a_block_keeps_its_place():
    grid = Lattice((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), (7, 6, 5))
    part = grid.part((slice(1, 3), slice(2, 6), slice(3, 4)))
    assert part.origin == pytest.approx(grid.point((3, 2, 1)))
    assert part.size == (1, 4, 2)
