import fcntl
import gc
import threading
from contextlib import contextmanager
from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.helpers.training_cases import LEAST, TINY, TINY_PLAIN, TINY_TRANSPOSED, ball_case
from tests.helpers.trainings import FeedInProcess, config_of, log_of, settings
from verse_infer.anatomy import LABELS, label_of
from verse_infer.errors import UsageError
from verse_infer.weights import STAGES, Crop
from verse_train.config import CONFIGS
from verse_train.data.feed import Feed, case_group, numbered_sample
from verse_train.data.prepared import save_prepared
from verse_train.export.model_card import steps_done
from verse_train.networks.losses import LandmarkHeatmapLoss
from verse_train.sizes import Size
from verse_train.training import run as training
from verse_train.training.callbacks import KeepCheckpoint
from verse_train.training.run import (
    CHECKPOINT,
    LOCK,
    LOG,
    learning_rate,
    load_network,
    network_of,
    train,
    trained_patients,
    training_model,
)

pytestmark = pytest.mark.usefixtures("float32_again")


def as_config(schedule):
    return keras.saving.serialize_keras_object(schedule)


def flat(model):
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("stage", "size", "other"),
    [
        ("spine_localisation", TINY, {"near_weight": 5.0}),
        ("vertebra_localisation", TINY, {"rate_falls": True}),
        ("vertebra_localisation", TINY_PLAIN, {"near_weight": 5.0}),
        ("vertebra_segmentation", TINY, {"dice_loss": True}),
        ("vertebra_segmentation", TINY_TRANSPOSED, {"dice_loss": True}),
    ],
)
def test_a_few_steps_lower_the_loss(tmp_path, groups, stage, size, other):
    config = config_of(stage, 30, size, **other)
    network = train(config, groups, settings(tmp_path, 10))
    losses = [float(row["loss"]) for row in log_of(tmp_path)]
    assert len(losses) == 3
    assert losses[-1] < 0.9 * losses[0]
    channels = 2 if stage == "vertebra_segmentation" else 1
    outputs = 26 if stage == "vertebra_localisation" else 1
    image = np.zeros((1, 16, 32, 16, channels), np.float32)
    assert network(image).shape == (1, 16, 32, 16, outputs)
    assert network.name == stage


@pytest.mark.usefixtures("in_process")
def test_vertebrae_of_any_crop_are_trained_and_validated_on(tmp_path, groups):
    """Though the first two, by which Keras would go, have the same size."""
    crop = Crop((16, 32, 16), labels=(label_of("L1"),))
    config = replace(config_of("vertebra_segmentation", 10), small_crops=(crop,))

    def is_small(seed, number):
        return numbered_sample(groups, config, seed, number).image.shape[1] == 32

    seed = next(s for s in range(100) if is_small(s, 0) == is_small(s, 1) != is_small(s, 2))
    train(config, groups, replace(settings(tmp_path, 5), seed=seed), held=groups)
    assert all(np.isfinite(float(row["val_loss"])) for row in log_of(tmp_path))


@pytest.mark.usefixtures("in_process")
def test_one_process_at_a_time_trains_in_a_folder(tmp_path, groups):
    arguments = (config_of("spine_localisation", 2), groups, settings(tmp_path))
    second = threading.Thread(target=train, args=arguments)
    with (tmp_path / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second.start()
        second.join(timeout=2)
        assert second.is_alive()
        assert not (tmp_path / "samples.png").exists()
    second.join(timeout=120)
    assert (tmp_path / CHECKPOINT).exists()


class KilledError(RuntimeError):
    """Stands for a kill: nothing after it happens."""


@contextmanager
def killed():
    """A killed process closes its files; here what is left of the run has to be collected."""
    with pytest.raises(KilledError):
        yield
    gc.collect()


#: Keras leaves the log open when a training ends by an error.
LOG_LEFT_OPEN = pytest.mark.filterwarnings("ignore:unclosed file.*log.csv:ResourceWarning")


def kill_in_epoch(monkeypatch, epoch, callback):
    """The process ends when a callback's turn comes at the end of an epoch."""
    original = callback.on_epoch_end

    def on_epoch_end(self, number, logs=None):
        if number == epoch:
            raise KilledError
        original(self, number, logs)

    monkeypatch.setattr(callback, "on_epoch_end", on_epoch_end)


@LOG_LEFT_OPEN
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("callback", "first"),
    [
        (KeepCheckpoint, 2),  # epoch 1 was trained, but not saved
        (keras.callbacks.CSVLogger, 4),  # saved, but not in the log
    ],
)
def test_a_killed_training_continues_at_the_right_step(
    tmp_path, groups, monkeypatch, callback, first
):
    config = config_of("vertebra_segmentation", 6, LEAST, rate_falls=True)
    whole = train(config, groups, settings(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 1, callback)
        with killed():
            train(config, groups, settings(tmp_path / "killed"))
    resumed = train(config, groups, settings(tmp_path / "killed"))
    assert FeedInProcess.started == (0, 0, first)
    assert flat(resumed) == pytest.approx(flat(whole), abs=1e-4)
    assert [int(row["epoch"]) for row in log_of(tmp_path / "whole")] == [0, 1, 2]
    assert int(log_of(tmp_path / "killed")[-1]["epoch"]) == 2
    assert steps_done(tmp_path / "killed") == 6


@pytest.mark.usefixtures("in_process")
def test_a_lost_log_does_not_lose_the_training(tmp_path, groups):
    config = config_of("spine_localisation", 4, LEAST)
    train(config, groups, settings(tmp_path))
    (tmp_path / LOG).unlink()
    train(replace(config, steps=6), groups, settings(tmp_path))
    assert FeedInProcess.started == (0, 4)
    assert [int(row["epoch"]) for row in log_of(tmp_path)] == [2]


@pytest.mark.usefixtures("in_process")
def test_a_finished_training_is_not_trained_again(tmp_path, groups):
    config = config_of("vertebra_localisation", 4, LEAST)
    network = train(config, groups, settings(tmp_path))
    before = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    again = train(config, groups, settings(tmp_path))
    assert np.array_equal(flat(again), flat(network))
    assert (tmp_path / CHECKPOINT).stat().st_mtime_ns == before


@pytest.mark.usefixtures("in_process")
def test_more_steps_continue_and_the_rate_follows(tmp_path, groups):
    config = config_of("spine_localisation", 20, LEAST, rate_falls=True)
    train(replace(config, steps=4), groups, settings(tmp_path))
    train(config, groups, settings(tmp_path))
    assert steps_done(tmp_path) == 20
    # Not the fall over 4 steps that the first training had.
    optimiser = training.begun_model(config, settings(tmp_path)).optimizer
    assert optimiser.get_config()["learning_rate"] == as_config(learning_rate(config))
    assert as_config(learning_rate(config)) != as_config(learning_rate(replace(config, steps=4)))


@pytest.mark.usefixtures("in_process")
def test_a_training_may_begin_with_another(tmp_path, groups):
    config = config_of("spine_localisation", 2, LEAST, rate_falls=True)
    first, second = tmp_path / "first", tmp_path / "second"
    begun = flat(train(config, groups, settings(first)))
    same = train(config, groups, replace(settings(second), start=first))
    assert np.array_equal(flat(same), begun)  # its two steps count: nothing is left to do
    # What the second has of its own goes before what it began with.
    more = replace(config, steps=4)
    further = train(more, groups, replace(settings(second), start=first))
    assert not np.array_equal(flat(further), begun)
    again = train(more, groups, replace(settings(second), start=first))
    assert np.array_equal(flat(again), flat(further))
    assert np.array_equal(flat(load_network(first, config)), begun)


@pytest.mark.usefixtures("in_process")
def test_a_training_to_begin_with_must_exist(tmp_path, groups):
    config = config_of("spine_localisation", 2, LEAST)
    with pytest.raises(UsageError, match=r"nowhere: expected a training's folder"):
        train(config, groups, replace(settings(tmp_path), start=tmp_path / "nowhere"))


@pytest.mark.usefixtures("in_process")
def test_a_training_knows_whom_it_has_seen(tmp_path):
    def group(name):
        save_prepared(tmp_path / name / "case.npz", ball_case(name=name))
        return [case_group(tmp_path / name, 1.0)]

    config = config_of("spine_localisation", 2, LEAST)
    first, second = tmp_path / "first", tmp_path / "second"
    train(config, group("anna"), settings(first))
    assert trained_patients(first) == {"anna"}
    longer = replace(config, steps=4)
    train(longer, group("boris"), replace(settings(second), start=first))
    assert trained_patients(second) == {"anna", "boris"}
    train(longer, group("carla"), settings(second))
    assert trained_patients(second) == {"anna", "boris", "carla"}
    with pytest.raises(UsageError, match=r"patients.json: expected a list of patients"):
        trained_patients(tmp_path)


@pytest.mark.usefixtures("in_process")
def test_a_seed_gives_one_training(tmp_path, groups):
    config = config_of("vertebra_segmentation", 4, LEAST)
    one, again = (train(config, groups, settings(tmp_path / name)) for name in ("a", "b"))
    assert flat(one) == pytest.approx(flat(again), abs=1e-5)
    other = train(config, groups, replace(settings(tmp_path / "c"), seed=1))
    assert not np.allclose(flat(one), flat(other), atol=1e-2)


@LOG_LEFT_OPEN
@pytest.mark.usefixtures("in_process")
def test_a_checkpoint_appears_only_when_whole(tmp_path, groups, monkeypatch):
    config = config_of("spine_localisation", 2, LEAST)
    train(config, groups, settings(tmp_path))
    before = (tmp_path / CHECKPOINT).read_bytes()

    def half(_, path):
        path.write_bytes(b"half")
        raise KilledError

    monkeypatch.setattr(keras.Model, "save", half)
    with killed():
        train(replace(config, steps=4), groups, settings(tmp_path))
    assert (tmp_path / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("stage", STAGES)
def test_the_network_of_a_training_folder_is_loaded_with_its_precision(tmp_path, stage):
    config = config_of(stage, 2, sigma_penalty=1.0)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = training_model(config)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / CHECKPOINT)
    keras.mixed_precision.set_global_policy("float32")
    loaded = load_network(tmp_path, config)
    channels = 2 if stage == "vertebra_segmentation" else 1
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 16, channels)).astype(np.float32)
    expected = np.asarray(network_of(model, config)(image))
    assert np.array_equal(np.asarray(loaded(image)), expected)
    assert any(layer.compute_dtype == "bfloat16" for layer in loaded.layers)


def test_a_folder_without_a_training_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="expected a training's folder"):
        load_network(tmp_path, config_of("spine_localisation", 1))


@pytest.mark.usefixtures("in_process")
def test_the_papers_loss_trains_the_sigmas_with_nesterov(tmp_path, groups):
    config = config_of(
        "vertebra_localisation", 4, TINY_PLAIN, optimiser="nesterov", sigma_penalty=100.0
    )
    config = replace(config, rate=1e-5)
    train(config, groups, settings(tmp_path))
    model = training.begun_model(config, settings(tmp_path))
    (layer,) = [part for part in model.layers if isinstance(part, LandmarkHeatmapLoss)]
    sigmas = np.asarray(layer.sigmas)
    absent = np.ones(26, bool)
    absent[[LABELS.index(20), LABELS.index(21)]] = False
    assert (sigmas[absent] < 3.0 - 1e-3).all()  # nothing but the penalty, which pulls them down
    assert np.ptp(sigmas[absent]) < 1e-6
    assert model.optimizer.nesterov
    assert model.optimizer.momentum == 0.99


def test_workers_feed_the_training(tmp_path, groups):
    """Once with the real feed: its process starts, delivers, and ends."""
    assert training.Feed is Feed
    train(config_of("vertebra_segmentation", 2, LEAST), groups, settings(tmp_path))
    (row,) = log_of(tmp_path)
    assert float(row["waiting_share"]) > 0


def test_the_rate_is_constant_or_rises_and_falls():
    constant = config_of("spine_localisation", 1000)
    assert learning_rate(constant) == 1e-2
    falling = learning_rate(replace(constant, rate_falls=True))
    steps = [0, 50, 100, 550, 1000]
    # From a tenth of the rate to the rate in 100 steps, half of it midway, then to zero.
    expected = [1e-3, 5.5e-3, 1e-2, 5e-3, 0.0]
    assert [float(falling(step)) for step in steps] == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_short_trainings_rise_over_a_tenth_of_their_steps():
    falling = learning_rate(replace(config_of("spine_localisation", 50), rate_falls=True))
    assert float(falling(5)) == pytest.approx(1e-2)
    assert float(falling(4)) < 1e-2


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stage", STAGES)
def test_every_configuration_builds_its_training_model(name, stage):
    config = replace(CONFIGS[name][stage], size=TINY if name == Size.COMPACT else TINY_PLAIN)
    model = training_model(config)
    assert network_of(model, config).name == stage
    clip = model.optimizer.global_clipnorm
    assert (clip == 1.0) if config.rate_falls else (clip is None)
