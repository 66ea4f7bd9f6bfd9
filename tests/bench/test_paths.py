from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from tests.helpers.fake_networks import fake_networks
from verse_bench.paths import (
    GuidedPipeline,
    ReferencePipeline,
    largest_piece_only,
    on_whole_grid,
    tile_count,
    timed,
    true_region,
    vertebra_sized,
    with_overlap,
)
from verse_infer.anatomy import LABELS
from verse_infer.ct import Centroid, Ct
from verse_infer.grid import Lattice

GRID = Lattice((-60.0, -60.0, -200.0), (1.5, 1.5, 2.0), (80, 80, 200))
TRUTH = tuple(Centroid(20 + i, (0.0, 3.0 * i, 60.0 - 34.0 * i)) for i in range(4))


def ct():
    hu = np.random.default_rng(0).integers(-1000, 1000, GRID.shape).astype(np.int16)
    return Ct(hu, GRID)


def networks():
    def ball(image):
        z, y, x = (np.arange(n) - (n - 1) / 2 for n in image.shape[:3])
        r = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
        return np.clip(0.5 + (13 - r) / 4, 0, 1)[..., None]

    return fake_networks(
        spine_localisation=np.zeros_like,
        vertebra_localisation=lambda image: np.zeros((*image.shape[:3], len(LABELS))),
        vertebra_segmentation=ball,
    )


def test_both_ways_give_the_same_mask_and_centroids():
    product = GuidedPipeline(networks(), TRUTH).run(ct())
    path = ReferencePipeline(with_tiles(networks()), TRUTH)
    reference = path.run(ct())
    assert product.centroids == reference.centroids == TRUTH
    assert product.seconds.keys() == reference.seconds.keys()
    assert set(path.shares) == {1.0}
    for label in (20, 21, 22, 23):
        one, other = product.mask == label, reference.mask == label
        assert 2 * (one & other).sum() >= 0.999 * (one.sum() + other.sum()) > 0


def with_tiles(found):
    """Tiles long enough for the published overlap."""
    network = found["vertebra_localisation"]
    weights = structs.replace(network.weights, input_size=(16, 16, 100))
    stages = {**found.stages, "vertebra_localisation": replace(network, weights=weights)}
    return replace(found, stages=stages)


def test_what_is_left_out_is_scaled_up(monkeypatch):
    """One of so many vertebrae and tiles is done; their time counts for all."""
    done = []
    monkeypatch.setattr(
        "verse_bench.paths.timed", lambda _, stage, share=1.0: note(done, stage, share)
    )
    all_networks = with_tiles(networks())
    path = ReferencePipeline(all_networks, TRUTH, most_tiles=1, most_vertebrae=1)
    result = path.run(ct())
    network = with_overlap(all_networks["vertebra_localisation"], 96)
    tiles = tile_count(true_region(ct(), TRUTH), network)
    assert tiles > 1
    assert dict(done)["vertebra localisation"] == pytest.approx(1 / tiles)
    assert dict(done)["vertebra segmentation"] == pytest.approx(1 / 4)
    assert set(np.unique(result.mask)) == {0, 20}
    assert path.shares == pytest.approx([1 / tiles, 1 / 4])


def note(done, stage, share):
    from contextlib import nullcontext

    done.append((stage, share))
    return nullcontext()


def test_a_share_of_the_work_takes_a_share_of_the_time():
    seconds = {}
    with timed(seconds, "whole"):
        pass
    with timed(seconds, "a thousandth", 1e-3):
        np.sort(np.random.default_rng(0).random(10**6))
    assert seconds["a thousandth"] > 1.0 > seconds["whole"]


def test_the_true_region_reaches_beyond_the_spine_but_not_beyond_the_scan():
    region = true_region(ct(), TRUTH)
    assert region.centre_xy == (0.0, 4.5)
    assert region.z_range == (-42.0 - 48.0, 60.0 + 48.0)
    near_top = (Centroid(20, (0.0, 0.0, 190.0)),)
    assert true_region(ct(), near_top).z_range[1] == 198.0


def test_a_stand_in_for_a_vertebra_is_of_its_size():
    ball = vertebra_sized(np.zeros((2, 60, 60, 60, 1), np.float32))
    assert ball.shape == (2, 60, 60, 60, 1)
    assert (ball[0] > 0.5).sum() == pytest.approx(4 / 3 * np.pi * 22**3, rel=0.02)


def test_small_pieces_go_and_a_volume_is_the_size_of_the_scan():
    response = np.zeros((8, 8, 8), np.float32)
    response[1, 1, 1], response[4:6, 4:6, 4:6] = 1.0, 0.9
    kept = largest_piece_only(response, 0.5)
    assert kept.sum() == pytest.approx(8 * 0.9)
    volume = on_whole_grid(kept, Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (8, 8, 8)), GRID)
    assert volume.shape == GRID.shape
    assert volume.max() == pytest.approx(0.9, abs=1e-3)
