from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest

from tests.helpers.training_cases import ball_case
from tests.helpers.trainings import NOTHING, config_of
from verse_infer.errors import InputError, UsageError
from verse_train.config import Augmentation
from verse_train.data.feed import CaseGroup, Feed, case_group, held_group, numbered_sample
from verse_train.data.prepared import save_prepared

CONFIG = config_of("vertebra_localisation", 1, augmentation=Augmentation())


@pytest.fixture
def folder(tmp_path):
    """Cases a, b, c of the patients p, p, q; their HU are 100, 200, 300."""
    for number, (name, patient) in enumerate({"a": "p", "b": "p", "c": "q"}.items()):
        case = replace(ball_case(("L1", "L2"), 8.0, (12, 12, 12), name=name), patient=patient)
        hu = np.full_like(case.hu, 100 * (number + 1))
        save_prepared(tmp_path / "cases" / f"{name}.npz", replace(case, hu=hu))
    (tmp_path / "cases" / "notes.txt").write_text("no case")
    return tmp_path / "cases"


def test_a_group_holds_the_cases_of_a_folder_in_order(folder):
    group = case_group(folder, 2.5)
    assert [path.name for path in group.paths] == ["a.npz", "b.npz", "c.npz"]
    assert group.weight == 2.5


def test_held_out_patients_are_left_out(folder):
    assert [path.name for path in case_group(folder, 1.0, ["p"]).paths] == ["c.npz"]


def test_held_out_patients_make_a_group_of_their_own(folder):
    (group,) = held_group(folder, 0.5, ["p"])
    assert [path.name for path in group.paths] == ["a.npz", "b.npz"]
    assert group.weight == 0.5
    assert held_group(folder, 0.5, ["r"]) == ()


def test_a_half_written_case_is_not_in_the_group(folder):
    (folder / ".d.npz.partial").write_bytes(b"half")
    assert len(case_group(folder, 1.0).paths) == 3


@pytest.mark.parametrize("without", [(), ("p", "q")])
def test_nothing_to_train_on_is_an_error(folder, tmp_path, without):
    place = folder if without else tmp_path / "nowhere"
    with pytest.raises(UsageError, match=r"expected prepared cases .*, found none"):
        case_group(place, 1.0, without)


def test_sample_i_depends_on_seed_and_i_alone(folder):
    groups = [case_group(folder, 1.0)]
    one, again = (numbered_sample(groups, CONFIG, 5, 7) for _ in range(2))
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.target, again.target)
    for seed, number in ((5, 8), (6, 7)):
        other = numbered_sample(groups, CONFIG, seed, number)
        assert not np.array_equal(one.image, other.image)


def test_groups_are_drawn_by_their_weights_and_cases_alike(folder):
    plain = replace(CONFIG, augmentation=NOTHING)
    paths = case_group(folder, 1.0).paths
    groups = [CaseGroup(paths[:2], 3.0), CaseGroup(paths[2:], 1.0)]
    drawn = [numbered_sample(groups, plain, 0, i).image.max() * 2048 for i in range(200)]
    found = np.bincount(np.rint(np.array(drawn) / 100).astype(int), minlength=4)[1:]
    assert found.sum() == 200
    assert found[0] + found[1] == pytest.approx(150, abs=25)
    assert found[0] == pytest.approx(75, abs=25)


def test_workers_deliver_the_numbered_samples_in_order_from_any_start(folder):
    groups = [case_group(folder, 1.0)]
    feed = Feed(partial(numbered_sample, groups, CONFIG, 3), workers=2, first=4)
    stream = iter(feed)
    try:
        for number, sample in enumerate(islice(stream, 12), start=4):
            expected = numbered_sample(groups, CONFIG, 3, number)
            assert np.array_equal(sample.image, expected.image)
            assert np.array_equal(sample.target, expected.target)
    finally:
        stream.close()
    assert feed.waited_s > 0


def test_an_error_in_a_worker_reaches_the_training(folder):
    without_mask = replace(ball_case(("L1", "L2"), 8.0, (12, 12, 12)), mask=None)
    save_prepared(folder / "a.npz", without_mask)
    groups = [CaseGroup((folder / "a.npz",), 1.0)]
    config = replace(CONFIG, stage="vertebra_segmentation")
    stream = iter(Feed(partial(numbered_sample, groups, config, 0), workers=1))
    with pytest.raises(InputError, match="balls: expected a mask"):
        next(stream)
