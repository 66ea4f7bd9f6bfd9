import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verse_infer.networks import predict_tiled, tile_starts


@given(st.integers(1, 2000), st.integers(1, 300), st.data())
def test_tiles_cover_everything_and_overlap_enough(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= tile - overlap).all()


@pytest.mark.parametrize("overlap", [-1, 128, 200])
def test_impossible_overlap_is_refused(overlap):
    with pytest.raises(ValueError, match="overlap"):
        tile_starts(300, 128, overlap)


@pytest.mark.parametrize(("batch", "groups"), [(1, [1, 1, 1]), (2, [2, 1]), (5, [3])])
def test_every_tile_has_the_same_size_and_the_maximum_wins(batch, groups):
    # A network that answers with its tile's number: later tiles win where tiles overlap.
    shapes, seen = [], []

    def network(images):
        shapes.append(images.shape)
        answers = []
        for image in images:
            seen.append(image)
            answers.append(np.full((*image.shape[:3], 2), len(seen), np.float32))
        return np.stack(answers)

    image = np.zeros((40, 4, 4, 1), np.float32)
    output = predict_tiled(image, network, tile=16, overlap=4, batch=batch)
    assert shapes == [(n, 16, 4, 4, 1) for n in groups]
    assert output[:, 0, 0, 0].tolist() == [1] * 12 + [2] * 12 + [3] * 16


def test_short_image_is_run_whole():
    image = np.arange(32, dtype=np.float32).reshape(8, 2, 2, 1)
    assert np.array_equal(predict_tiled(image, lambda x: x, tile=16, overlap=4), image)


@pytest.mark.parametrize("batch", [1, 3])
def test_means_of_tiles_change_smoothly_from_one_to_the_next(batch):
    """A network that answers with its tile's number."""
    numbers = iter(range(1, 9))

    def network(images):
        return np.stack([np.full((*i.shape[:3], 1), next(numbers), np.float32) for i in images])

    image = np.zeros((40, 4, 4, 1), np.float32)
    output = predict_tiled(image, network, 16, 4, batch, merging="mean")[:, 0, 0, 0]
    assert output[:12] == pytest.approx(1)
    assert output[-12:] == pytest.approx(3)
    assert (np.diff(output) >= -1e-6).all()
    assert output[13:15].mean() == pytest.approx(1.5, abs=0.01)


@given(st.integers(17, 90), st.integers(0, 15))
def test_tiles_that_agree_have_their_own_values_as_mean(length, overlap):
    image = np.random.default_rng(length).uniform(-1, 1, (length, 2, 2, 3)).astype(np.float32)
    output = predict_tiled(image, lambda x: x, 16, overlap, merging="mean")
    assert output == pytest.approx(image, abs=1e-5)
