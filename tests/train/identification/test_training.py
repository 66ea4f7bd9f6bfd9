"""Training the identification network on drawn columns whose vertebrae differ in width."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.helpers.trainings import FeedInProcess, log_of
from verse_infer.anatomy import LABELS, label_of
from verse_infer.ct import Centroid
from verse_infer.errors import InputError, UsageError
from verse_infer.grid import Lattice
from verse_infer.identification import STRIDE
from verse_infer.straightening import curve_through
from verse_train.data.feed import case_group
from verse_train.data.prepared import PreparedCase, save_prepared
from verse_train.identification import training
from verse_train.identification.network import (
    BODY_AT,
    NAMES,
    answering_heads,
    build_identification_network,
)
from verse_train.identification.pictures import case_picture, drawn, random_curve
from verse_train.identification.samples import (
    BODY,
    BODY_WEIGHT,
    DX,
    NAME,
    SACRUM,
    UNKNOWN,
    WHOLE,
    PictureAugmentation,
    numbered_picture_sample,
    picture_sample,
    targets,
)
from verse_train.identification.training import IdentificationTraining, train_identification
from verse_train.training.run import CHECKPOINT, PATIENTS, RunSettings

SIZE = (50, 60, 100)
PLAIN = PictureAugmentation(
    along=(1.0, 1.0),
    across=(1.0, 1.0),
    brightness=0.0,
    contrast=(1.0, 1.0),
    noise=0.0,
    thick=0.0,
    blanked=0.0,
    narrow=0.0,
)


def column(name="one", names=("T10", "T11", "T12", "L1", "L2"), lowest=35.0, step=26.0):
    """Bodies on a straight line, 600 HU, each 20 mm high, lower ones wider."""
    lattice = Lattice((-50.0, -60.0, 0.0), (2.0, 2.0, 2.0), SIZE)
    hu = np.full(lattice.shape, -100, np.int16)
    k, j, i = np.indices(lattice.shape)
    x, y, z = np.moveaxis(lattice.point(np.stack([i, j, k], axis=-1)), -1, 0)
    centroids = []
    for number, label in enumerate(label_of(n) for n in reversed(names)):
        middle, width = lowest + step * number, 30.0 - 3 * number
        hu[(np.abs(z - middle) < 10) & (np.hypot(x, y) < width / 2)] = 600
        centroids.append(Centroid(label, (0.0, 0.0, middle)))
    return PreparedCase(name, name, hu, None, tuple(centroids), (), lattice)


@pytest.fixture
def groups(tmp_path):
    folder = tmp_path / "cases"
    for number, names in enumerate(
        (("T10", "T11", "T12", "L1", "L2"), ("L1", "L2", "L3", "L4", "L5"))
    ):
        save_prepared(folder / f"{number}.npz", column(f"patient{number}", names))
    return [case_group(folder, 1.0)]


@pytest.fixture(autouse=True)
def _in_process(monkeypatch):
    monkeypatch.setattr(training, "Feed", FeedInProcess)


def run_settings(folder, epoch=4):
    return RunSettings(folder, steps_per_epoch=epoch)


def test_a_sample_shows_bodies_where_its_target_says():
    curve = random_curve(column(), np.random.default_rng(0))
    case = drawn(column(), curve)
    sample = picture_sample(case, 128, np.random.default_rng(1), PLAIN)
    assert sample.picture.shape == (128, 109, 4)
    assert sample.target.shape == (64, 7)
    named = sample.target[:, NAME] >= 0
    middle = np.repeat(named, STRIDE)
    assert (sample.picture[middle][:, 52:57, 1] > 0.4).all()
    seen = {LABELS[int(n)] for n in sample.target[named, NAME]}
    assert seen <= {label_of(n) for n in ("T10", "T11", "T12", "L1", "L2")}
    peaks = sample.target[:, BODY] > 0.9
    assert (sample.target[peaks, NAME] >= 0).all()


def test_offsets_lead_from_the_curve_to_the_centre():
    case = column()
    moved = replace(
        case, centroids=tuple(replace(c, point=(8.0, *c.point[1:])) for c in case.centroids)
    )
    picture = drawn(moved, curve_through([c.point for c in case.centroids], (0.0, 198.0)))
    assert picture.bodies[:, 3] == pytest.approx(8.0, abs=0.5)
    target = targets(picture.bodies, -np.inf, 128, (0.0, 127.0), 1.5)
    named = target[:, NAME] >= 0
    assert target[named, DX].mean() * 10 == pytest.approx(picture.bodies[:, 3].mean(), abs=2)


def test_bodies_at_a_views_end_count_neither_way():
    body = np.array([[20, 3.0, 1.0, 0.0, 0.0], [19, 40.0, 1.0, 0.0, 0.0]], np.float32)
    target = targets(body, -np.inf, 90, (0.0, 89.0), 1.5)
    assert (target[:3, BODY_WEIGHT] == 0).all()
    assert (target[:3, NAME] == UNKNOWN).all()
    assert target[19:21, NAME].tolist() == [LABELS.index(19)] * 2
    assert target[19, WHOLE] == 1.0


def test_a_view_that_ends_near_a_body_cuts_it():
    bodies = np.array([[19, 40.0, 1, 0, 0], [20, 60.0, 1, 0, 0], [18, 20.0, 0, 0, 0]], np.float32)
    target = targets(bodies, -np.inf, 80, (0.0, 69.0), 1.5)
    assert target[29, WHOLE] == 0.0  # L1: a third of a step to the view's end
    assert target[19, WHOLE] == 1.0
    assert target[9, WHOLE] == 0.0  # T11: the scan itself cuts it


def test_the_sacrum_lies_below_the_lowest_lumbar_vertebra_with_room():
    low = drawn(
        column(names=("L3", "L4", "L5"), lowest=90.0),
        random_curve(column(), np.random.default_rng(0)),
    )
    assert low.sacrum > 10
    target = targets(low.bodies, low.sacrum, len(low.picture) // 2 * 2, (0.0, 1e9), 1.5)
    rows = np.flatnonzero(target[:, SACRUM] == 1) * STRIDE
    assert len(rows)
    assert rows.max() < low.bodies[:, 1].min()
    assert drawn(column(), random_curve(column(), np.random.default_rng(0))).sacrum == -np.inf


def test_samples_depend_on_seed_and_number_and_those_of_a_batch_have_one_length(groups):
    one, again = (numbered_picture_sample(groups, 6, 3, 9) for _ in range(2))
    assert np.array_equal(one.picture, again.picture)
    assert np.array_equal(one.target, again.target)
    for batch in range(4):
        lengths = {
            len(numbered_picture_sample(groups, 6, 3, 6 * batch + i).picture) for i in range(6)
        }
        assert len(lengths) == 1
    assert not np.array_equal(one.picture, numbered_picture_sample(groups, 6, 4, 9).picture)


def test_the_last_variant_of_a_case_misses_the_spine(tmp_path):
    path = tmp_path / "one.npz"
    save_prepared(path, column())
    beside = case_picture(path, 7)
    assert not len(beside.bodies)
    assert beside.picture[..., 1].max() < 0.7
    assert len(case_picture(path, 0).bodies) == 5


def test_a_training_learns_writes_its_state_and_continues(tmp_path, groups):
    config = IdentificationTraining(steps=24, batch=4, rate=3e-3)
    folder = tmp_path / "run"
    train_identification(config, groups, run_settings(folder, 8), groups)
    losses = [float(row["loss"]) for row in log_of(folder)]
    assert losses[-1] < 0.8 * losses[0]
    assert np.isfinite([float(row["val_loss"]) for row in log_of(folder)]).all()
    assert (folder / "samples.png").exists()
    assert (folder / PATIENTS).read_text() == '["patient0", "patient1"]'
    train_identification(replace(config, steps=32), groups, run_settings(folder, 8))
    assert len(log_of(folder)) == 4
    assert int(training.load_identification(folder).optimizer.iterations) == 32


def test_a_finished_training_is_only_loaded(tmp_path, groups):
    config = IdentificationTraining(steps=2, batch=2)
    first = train_identification(config, groups, run_settings(tmp_path / "run", 2))
    again = train_identification(config, groups, run_settings(tmp_path / "run", 2))
    assert len(log_of(tmp_path / "run")) == 1
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_cases_without_vertebrae_are_refused(tmp_path):
    save_prepared(tmp_path / "cases" / "a.npz", replace(column(), centroids=(), cut=()))
    with pytest.raises(InputError, match="nothing to learn names from"):
        train_identification(
            IdentificationTraining(steps=2),
            [case_group(tmp_path / "cases", 1.0)],
            run_settings(tmp_path / "run"),
        )


def test_an_empty_folder_is_no_training(tmp_path):
    with pytest.raises(UsageError, match=f"with {CHECKPOINT}"):
        training.load_identification(tmp_path)


def test_the_heads_are_the_parts_of_the_output():
    network = build_identification_network()
    picture = np.random.default_rng(0).random((1, 32, 109, 4), np.float32)
    output = keras.ops.convert_to_numpy(network(picture))
    heads = answering_heads(network)(picture)
    assert {name: tuple(part.shape) for name, part in heads.items()} == {
        "names": (1, 16, 26),
        "region": (1, 16, 3),
        "body": (1, 16, 1),
        "offset": (1, 16, 2),
        "whole": (1, 16, 1),
        "sacrum": (1, 16, 1),
    }
    assert np.array_equal(heads["names"], output[..., :NAMES])
    assert np.array_equal(heads["body"][..., 0], output[..., BODY_AT])
