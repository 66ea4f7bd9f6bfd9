import numpy as np
import pytest
from PIL import Image

from tests.helpers.scenes import (
    L1,
    L2,
    L3,
    affine_of,
    boxes,
    save_centroids,
    save_mask,
)
from verse_infer.errors import InputError, UsageError
from verse_infer.files.preview import TRUE
from verse_train.check import compare, summary
from verse_train.cli import main

#: Boxes of 6×6×6 mm on a grid with axes P, I, R.
PLACES = {L1: ((4, 10), (4, 10), (4, 10)), L2: ((4, 10), (14, 20), (4, 10))}


def write(folder, places, cut=None):
    """Mask and centroids of sub-x in the restructured names."""
    base = folder / "sub-x" / "sub-x"
    points = {k: tuple((a + b - 1) / 2 for a, b in r) for k, r in places.items()}
    save_mask(base.with_name("sub-x_seg-vert_msk.nii.gz"), boxes((14, 40, 14), places), affine())
    save_centroids(base.with_name("sub-x_seg-subreg_ctd.json"), points, "PIR")
    if cut:
        save_centroids(base.with_name("sub-x_partial_ctd.json"), cut, "PIR")


def affine():
    return affine_of("PIR")


@pytest.fixture
def truth(tmp_path):
    root = tmp_path / "truth"
    hu = np.full((14, 40, 14), -1000)
    hu[:, :, 7:] = 300
    save_mask(root / "rawdata" / "sub-x" / "sub-x_ct.nii.gz", hu, affine(), np.int16)
    write(root / "derivatives", PLACES, {L3: (6.5, 26.5, 6.5)})
    return root


def check(truth, output, *options):
    return main(["check", "--truth", str(truth), "--output", str(output), *options])


def test_a_perfect_result_passes(truth, tmp_path):
    write(tmp_path / "out", PLACES)
    assert check(truth, tmp_path / "out", "--within-mm", "1", "--least-dice", "0.99") == 0
    (one,) = compare(truth, tmp_path / "out")
    assert (one.name, one.total, one.hits, one.mean_dice) == ("x", 2, 2, 1.0)
    assert "id.rate 100.0 % (2 of 2)" in summary([one])


def test_a_result_2_mm_off_fails_where_1_mm_is_asked(truth, tmp_path):
    """Boxes of 6 mm, 2 mm off: Dice 4/6."""
    write(tmp_path / "out", {k: (r[0], r[1], (6, 12)) for k, r in PLACES.items()})
    assert check(truth, tmp_path / "out", "--within-mm", "1") == 1
    assert check(truth, tmp_path / "out", "--within-mm", "2.1") == 0
    assert check(truth, tmp_path / "out", "--least-dice", "0.7") == 1
    (one,) = compare(truth, tmp_path / "out")
    assert one.mean_dice == pytest.approx(4 / 6)


def test_missed_and_extra_are_named_and_cut_ones_are_no_error(truth, tmp_path):
    extra = {19: ((4, 10), (34, 40), (4, 10)), L3: ((4, 10), (24, 30), (4, 10))}
    write(tmp_path / "out", {L2: PLACES[L2], **extra})
    (one,) = compare(truth, tmp_path / "out")
    assert (one.missed, one.extra) == (("L1",), ("T12",))
    assert "missed L1, extra T12" in summary([one])
    assert check(truth, tmp_path / "out", "--within-mm", "5") == 1


def test_each_region_and_the_mean_dice_have_their_place_in_the_summary(truth, tmp_path):
    """L1 is missed: 1 of 2, Dice 0 and 1."""
    write(tmp_path / "out", {L2: PLACES[L2]})
    text = summary(compare(truth, tmp_path / "out"))
    assert "lumbar: 1 of 2 identified" in text
    assert "thoracic" not in text
    assert "mean Dice of a vertebra 0.500" in text.splitlines()[-1]


def test_pictures_are_of_what_is_wrong_alone(truth, tmp_path):
    for name, places, count in (("good", PLACES, 0), ("bad", {L2: PLACES[L2]}, 1)):
        write(tmp_path / name, places)
        assert check(truth, tmp_path / name, "--pictures", str(tmp_path / f"{name}-png")) == 0
        pictures = list((tmp_path / f"{name}-png").glob("*"))
        assert [path.name for path in pictures] == ["x.png"] * count
    picture = np.asarray(Image.open(tmp_path / "bad-png" / "x.png"))
    green = (picture == TRUE.colour).all(axis=-1)
    assert green.any()


def test_no_result_is_an_error(truth, tmp_path):
    with pytest.raises(UsageError, match="expected a folder"):
        compare(truth, tmp_path / "none")
    assert check(truth, tmp_path / "none") == 2


def test_a_lost_result_among_others_is_an_error(truth, tmp_path):
    write(tmp_path / "out", PLACES)
    (tmp_path / "out" / "sub-x" / "sub-x_seg-subreg_ctd.json").write_text("[")
    with pytest.raises(InputError, match="x: expected a result"):
        compare(truth, tmp_path / "out")
    assert check(truth, tmp_path / "out") == 2
