import numpy as np

from tests.helpers.drawn_samples import config_of, sample_of
from verse_train.data.samples import Sample
from verse_train.training.sample_checks import GAP, draw_samples


def pixels(*arguments):
    return np.asarray(draw_samples(*arguments)).astype(int)


def test_a_picture_shows_each_sample_bare_and_with_its_targets():
    sample = sample_of("vertebra_localisation")
    picture = pixels([sample, sample], config_of("vertebra_localisation"))
    assert picture.shape == (2 * (44 + GAP), 4 * (24 + GAP), 3)
    bare, coloured = picture[:44, :24], picture[:44, 24 + GAP : 48 + GAP]
    assert (np.ptp(bare, axis=-1) == 0).all()
    blue = coloured[..., 2] - coloured[..., 0] > 20
    assert blue.any()
    assert (bare[blue].mean() > bare[~blue].mean()) or bare[blue].min() == 255


def test_the_head_is_up_and_anterior_on_the_left():
    image = np.full((44, 24, 24, 1), -1.0, np.float32)
    image[40:, :4] = 1.0  # z up, y to posterior: the anterior top
    target = np.zeros((44, 24, 24, 1), np.float32)
    picture = pixels([Sample(image, target)], config_of("spine_localisation"))
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[43, 0].tolist() == [0, 0, 0]
    assert picture[0, 23].tolist() == [0, 0, 0]


def test_responses_are_red():
    sample = sample_of("vertebra_segmentation")
    response = np.zeros((44, 24, 24), np.float32)
    response[20, 12, 12] = 1.0
    picture = pixels([sample], config_of("vertebra_segmentation"), [response])
    third = picture[:44, 2 * (24 + GAP) : 2 * (24 + GAP) + 24]
    red = third[..., 0] - third[..., 2] > 50
    assert np.argwhere(red).tolist() == [[43 - 20, 12]]
