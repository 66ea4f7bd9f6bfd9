import pytest

from verse_infer.weights import Crop, as_options, crop_of, crops_from

SMALL = Crop((16, 32, 48), (0.0, 8.0, -4.0), labels=(1, 2, 28))
OPTIONS = {"crop_offset_mm": [0, 18, -4], "crops": as_options([SMALL])}
WHOLE = (112, 112, 96)


def test_a_vertebra_has_the_crop_that_names_it_or_the_whole_one():
    crops = crops_from(OPTIONS, WHOLE, 1.0)
    assert crops == (SMALL, Crop(WHOLE, (0.0, 18.0, -4.0)))
    assert [crop_of(crops, label).size for label in (1, 28, 3)] == [SMALL.size, SMALL.size, WHOLE]


def test_without_options_all_have_one_crop_around_the_centroid():
    assert crops_from({}, WHOLE, 1.0) == (Crop(WHOLE),)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"labels": []}, "expected labels in each"),
        ({"labels": [1, 99]}, "labels must be distinct and of"),
        ({"labels": [3, 3]}, "labels must be distinct and of"),
        ({"input_size": [16, 32, 40]}, "three multiples of 16, got"),
        ({"offset_mm": [0, 16, 0]}, "within ±"),
        ({"offset_mm": [0, float("nan"), 0]}, "within ±"),
    ],
)
def test_a_wrong_crop_is_refused(change, error):
    entry = {**as_options([SMALL])[0], **change}
    with pytest.raises(ValueError, match=error):
        crops_from({"crops": [entry]}, WHOLE, 1.0)


def test_no_label_has_two_crops():
    with pytest.raises(ValueError, match="labels must be distinct"):
        crops_from({"crops": as_options([SMALL, SMALL])}, WHOLE, 1.0)


@pytest.mark.parametrize("missing", ["labels", "input_size", "offset_mm"])
def test_a_crop_says_everything(missing):
    entry = as_options([SMALL])[0]
    del entry[missing]
    with pytest.raises(KeyError, match=missing):
        crops_from({"crops": [entry]}, WHOLE, 1.0)
