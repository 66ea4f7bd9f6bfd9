"""What happens after each epoch of a training: checkpoint, validation, picture, logs."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from verse_infer.files.atomic import atomic_write
from verse_train.config import TrainingConfig
from verse_train.data.feed import Feed
from verse_train.data.samples import Sample
from verse_train.training.sample_checks import draw_samples

logger = logging.getLogger(__name__)
Logs = dict[str, Any] | None
#: Responses 0 to 1 of the network being trained to images (n, z, y, x, c); (n, z, y, x).
Respond = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class DrawValidation(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws what the network answers to some held-out samples, every `every` epochs and at the end.

    folder: of the pictures, epoch-NNNN.png.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        config: TrainingConfig,
        respond: Respond,
        folder: Path,
        every: int = 5,
    ) -> None:
        super().__init__()
        self.samples = samples
        self.config = config
        self.respond = respond
        self.folder = folder
        self.every = every

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Draw if it is time to."""
        del logs
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        responses = [self.respond(sample.image[None])[0] for sample in self.samples]
        self.folder.mkdir(exist_ok=True)
        picture = draw_samples(self.samples, self.config, responses)
        picture.save(self.folder / f"epoch-{epoch + 1:04d}.png")


class KeepCheckpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the whole training state after each epoch, under its name only when whole."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Save."""
        del epoch, logs
        with atomic_write(self.path) as partial:
            self.model.save(partial)


class ReportWaiting(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds the share of the epoch's time that training waited for samples; logs the epoch."""

    def __init__(self, feed: Feed[Any]) -> None:
        super().__init__()
        self.feed = feed
        self.waited = 0.0
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Start the clock."""
        del epoch, logs
        self.waited, self.started = self.feed.waited_s, time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Add waiting_share, log all figures."""
        logs = logs if logs is not None else {}
        took = max(time.perf_counter() - self.started, 1e-9)
        logs["waiting_share"] = (self.feed.waited_s - self.waited) / took
        logger.info("epoch %d: %s", epoch + 1, {k: round(float(v), 6) for k, v in logs.items()})


class LogForTensorBoard(keras.callbacks.Callback):  # type: ignore[misc]
    """The epoch's figures as TensorBoard events; needs neither TensorFlow nor TensorBoard."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_begin(self, logs: Logs = None) -> None:
        """One file per start of the training."""
        del logs
        self.writer = SummaryWriter(logdir=str(self.folder))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write; nothing of a finished epoch is lost in a kill."""
        for name, value in (logs or {}).items():
            self.writer.add_scalar(name, float(value), epoch + 1)
        self.writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        """Close."""
        del logs
        self.writer.close()
