"""One training: builds the training model, runs it, keeps checkpoints, resumes after a kill."""

import fcntl
import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import VERTEBRAE
from verse_infer.errors import UsageError
from verse_infer.files.atomic import atomic_write
from verse_train.config import TrainingConfig
from verse_train.data.feed import CaseGroup, Feed, numbered_sample, patients_of
from verse_train.data.samples import MAX_IGNORED, Sample
from verse_train.networks.answers import FINISH, answer_of
from verse_train.networks.architectures import build_network, penalise_kernels
from verse_train.networks.losses import (
    LandmarkHeatmapLoss,
    LandmarkShareLoss,
    predicted_loss,
    segmentation_loss,
    weighted_heatmap_loss,
)
from verse_train.training.batches import endless_batches, fixed_batches
from verse_train.training.callbacks import (
    DrawValidation,
    KeepCheckpoint,
    LogForTensorBoard,
    ReportWaiting,
    Respond,
)
from verse_train.training.sample_checks import check_samples, draw_samples
from verse_train.training.start import is_weights, network_of_weights

logger = logging.getLogger(__name__)
CHECKPOINT = "last.keras"
LOG = "log.csv"
LOCK = "lock"
#: Names of all patients trained on, those of the training that was started from included.
PATIENTS = "patients.json"
#: Samples looked at before training, samples of held-out cases, and how many of them are drawn.
FIRST_SAMPLES = 8
HELD_SAMPLES = 8
SHOWN = 3


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where and how one training runs.

    folder: checkpoints and logs. steps_per_epoch: a checkpoint and a log line follow each epoch.
    precision: a Keras policy such as mixed_bfloat16. workers: processes that draw samples.
    start: folder of another training whose last checkpoint a new training begins with; its steps
        count among this one's. Or a weights folder with whose network it begins, at step 0.
    """

    folder: Path
    seed: int = 0
    steps_per_epoch: int = 100
    precision: str = "mixed_bfloat16"
    workers: int = 1
    start: Path | None = None


def train(
    config: TrainingConfig,
    groups: Sequence[CaseGroup],
    run: RunSettings,
    held: Sequence[CaseGroup] = (),
) -> keras.Model:
    """Train one network to the end, continuing from the last checkpoint in the folder if any.

    held: cases that are not trained on; the log gets their loss (val_loss), and the folder pictures
    of what the network answers to them. The folder's samples.png shows what training starts with;
    InputError if those are nothing to learn from. How far a checkpoint is, its optimiser says: a
    kill may fall between checkpoint and log. Waits while another process trains in the folder.
    Returns the network (not the training model around it).
    """
    with alone(run.folder):
        return _train(config, groups, run, held)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other process trains in this folder; a killed one holds it no longer."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _train(
    config: TrainingConfig,
    groups: Sequence[CaseGroup],
    run: RunSettings,
    held: Sequence[CaseGroup],
) -> keras.Model:
    keras.mixed_precision.set_global_policy(run.precision)
    keras.utils.set_random_seed(run.seed)
    model = begun_model(config, run)
    record_patients(groups, run)
    steps_done = int(model.optimizer.iterations)
    done = steps_done // run.steps_per_epoch
    epochs = -(-config.steps // run.steps_per_epoch)
    logger.info("%s: %d of %d epochs done; %s", config.stage, done, epochs, asdict(config))
    if done < epochs:
        _look_at_first_samples(config, groups, run)
        feed = Feed(
            partial(numbered_sample, groups, config, run.seed), run.workers, first=steps_done
        )
        kept = _numbered_samples(held, config, run.seed, HELD_SAMPLES) if held else []
        drawing = _drawing(model, kept[:SHOWN], config, run)
        batches = endless_batches(feed, config), fixed_batches(kept, config)
        fit(model, batches, feed, run, config.steps, drawing)
    return network_of(model, config)


def fit(
    model: keras.Model,
    batches: tuple[Any, Any],
    feed: Feed[Any],
    run: RunSettings,
    steps: int,
    drawing: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train from where the model's optimiser is to so many steps; a checkpoint and a log line an epoch.

    batches: endless ones to train on, and those to validate on or None.
    """
    done = int(model.optimizer.iterations) // run.steps_per_epoch
    model.fit(
        batches[0],
        validation_data=batches[1],
        steps_per_epoch=run.steps_per_epoch,
        epochs=-(-steps // run.steps_per_epoch),
        shuffle=False,
        initial_epoch=done,
        verbose=0,
        callbacks=[
            KeepCheckpoint(run.folder / CHECKPOINT),
            ReportWaiting(feed),
            keras.callbacks.CSVLogger(str(run.folder / LOG), append=done > 0),
            LogForTensorBoard(run.folder / "tensorboard"),
            *drawing,
        ],
    )


def begun_model(config: TrainingConfig, run: RunSettings) -> keras.Model:
    """The training model of the folder's checkpoint, else of the start's, else a new one."""
    checkpoint = run.folder / CHECKPOINT
    if not checkpoint.exists():
        if run.start is None:
            return training_model(config)
        logger.info("beginning with %s", run.start)
        if is_weights(run.start):
            return training_model(config, network_of_weights(run.start, config))
        checkpoint = checkpoint_of(run.start)
    model = keras.models.load_model(checkpoint, custom_objects=_losses(config))
    # The number of steps may have changed since: the rate's fall follows. So may the penalty, and the
    # checkpoint may come from the other backend.
    model.optimizer.learning_rate = learning_rate(config)
    model.jit_compile = _jit()
    penalise_kernels(model, kernel_penalty(config))
    return model


def record_patients(groups: Sequence[CaseGroup], run: RunSettings) -> None:
    """Note whom the networks of this folder have seen; nothing where a weights folder does not say."""
    resumed = (run.folder / CHECKPOINT).exists()
    begun_with = run.folder if resumed else run.start
    known = patients_of(groups)
    if begun_with is not None:
        if not (begun_with / PATIENTS).exists():
            (run.folder / PATIENTS).unlink(missing_ok=True)  # of a start that came to nothing
            return
        known |= trained_patients(begun_with)
    with atomic_write(run.folder / PATIENTS) as path:
        path.write_text(json.dumps(sorted(known)), encoding="utf-8")


def trained_patients(folder: Path) -> set[str]:
    """Patients whom the training of this folder has seen; UsageError if it has no record of them."""
    try:
        return set(json.loads((folder / PATIENTS).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / PATIENTS}: expected a list of patients: {error}") from error


def _look_at_first_samples(
    config: TrainingConfig, groups: Sequence[CaseGroup], run: RunSettings
) -> None:
    samples = _numbered_samples(groups, config, run.seed, FIRST_SAMPLES)
    draw_samples(samples[:SHOWN], config).save(run.folder / "samples.png")
    check_samples(samples, config)


def _numbered_samples(
    groups: Sequence[CaseGroup], config: TrainingConfig, seed: int, count: int
) -> list[Sample]:
    return [numbered_sample(groups, config, seed, number) for number in range(count)]


def _drawing(
    model: keras.Model, samples: Sequence[Sample], config: TrainingConfig, run: RunSettings
) -> list[keras.callbacks.Callback]:
    if not samples:
        return []
    return [DrawValidation(samples, config, _responses(model, config), run.folder / "pictures")]


def load_network(folder: Path, config: TrainingConfig) -> keras.Model:
    """The network of a training folder's last checkpoint."""
    path = checkpoint_of(folder)
    return network_of(keras.models.load_model(path, custom_objects=_losses(config)), config)


def checkpoint_of(folder: Path) -> Path:
    """A training's last checkpoint; UsageError where the folder has none."""
    if not (folder / CHECKPOINT).exists():
        raise UsageError(f"{folder}: expected a training's folder with {CHECKPOINT}")
    return folder / CHECKPOINT


def training_model(config: TrainingConfig, network: keras.Model | None = None) -> keras.Model:
    """The network of a stage, a new one unless given, compiled for training.

    For vertebra localisation the model takes (image, landmark rows) and answers with its loss.
    """
    network = network or build_network(config.stage, config.size)
    penalise_kernels(network, kernel_penalty(config))
    optimiser = _optimiser(config)
    if config.stage != "vertebra_localisation":
        network.compile(optimiser, loss=_loss(config), jit_compile=_jit())
        return network
    rows = keras.Input((26 + MAX_IGNORED, 4), name="landmarks", dtype="float32")
    model = keras.Model([network.input, rows], _landmark_loss(config)((network.output, rows)))
    model.compile(optimiser, loss=predicted_loss, jit_compile=_jit())
    return model


def _jit() -> bool:
    """Whether XLA compiles a training step: on JAX, which else runs it operation by operation.

    TensorFlow makes one graph of the step anyway, of its own fast operations for processors.
    """
    return bool(keras.backend.backend() == "jax")


def kernel_penalty(config: TrainingConfig) -> float:
    """The factor of Σw² over all convolution kernels that is added to the loss; 0 without decay.

    The papers give a factor and no formula. Their authors' published training adds decay · ½Σw²
    (TensorFlow's l2_loss of every kernel, output convolutions included, biases not) to ½Σ(ĥ - h)²
    over all voxels in stages 1 and 2, and to the mean cross-entropy over voxels in stage 3. The
    cross-entropy here is the same (that of stage 2 is our own, and taken like it). Squares are
    averaged here or, with a learned σ, summed without the half as in the paper's equation. The penalty
    is multiplied as the loss is, so that both keep their proportion: else it would weigh 260,000 times
    as much in the papers' stage 1, and kernels would fall to zero.
    """
    stage_2 = config.stage == "vertebra_localisation"
    if config.stage == "vertebra_segmentation" or (stage_2 and config.size.heatmaps == "shares"):
        return config.decay / 2
    if stage_2 and config.sigma_penalty > 0:
        return config.decay
    heatmaps = len(VERTEBRAE) if stage_2 else 1
    return config.decay / (math.prod(config.sample_size) * heatmaps)


def network_of(model: keras.Model, config: TrainingConfig) -> keras.Model:
    """The network inside a training model."""
    return keras.Model(model.inputs[0], model.get_layer("output").output, name=config.stage)


def _landmark_loss(config: TrainingConfig) -> keras.layers.Layer:
    if config.size.heatmaps == "shares":
        return LandmarkShareLoss(config.sigma)
    return LandmarkHeatmapLoss(config.sigma, config.sigma_penalty, config.near_weight)


def _loss(config: TrainingConfig) -> Any:
    if config.stage == "spine_localisation":
        return weighted_heatmap_loss(config.near_weight)
    return segmentation_loss(config.dice_loss)


def _losses(config: TrainingConfig) -> dict[str, Any]:
    if config.stage == "vertebra_localisation":
        return {"predicted_loss": predicted_loss}
    return {"loss": _loss(config)}


def learning_rate(config: TrainingConfig) -> Any:
    """Constant, or rising for a short while and then falling as a half cosine to zero."""
    return falling_rate(config.rate, config.steps) if config.rate_falls else config.rate


def falling_rate(rate: float, steps: int) -> Any:
    """A rate that rises for a short while and then falls as a half cosine to zero."""
    warm = min(100, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        rate / 10, steps - warm, warmup_target=rate, warmup_steps=warm
    )


def _optimiser(config: TrainingConfig) -> keras.optimizers.Optimizer:
    rate = learning_rate(config)
    if config.optimiser == "nesterov":
        return keras.optimizers.SGD(rate, momentum=0.99, nesterov=True)
    return keras.optimizers.Adam(rate, global_clipnorm=1.0 if config.rate_falls else None)


def _responses(model: keras.Model, config: TrainingConfig) -> Respond:
    """What the network being trained answers to images, 0 to 1: its largest over all outputs."""
    network = network_of(model, config)

    def respond(images: NDArray[np.float32]) -> NDArray[np.float32]:
        answer = FINISH[answer_of(config)](network(images, training=False))
        return np.asarray(keras.ops.convert_to_numpy(answer).max(axis=-1), np.float32)

    return respond
