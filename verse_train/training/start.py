"""What a training begins with: the weights that a weights folder keeps for it."""

from pathlib import Path

import keras

from verse_infer.errors import UsageError, WeightsError
from verse_infer.weights import MANIFEST_NAME, ModelFolder, read_manifest
from verse_train.config import TrainingConfig
from verse_train.networks.architectures import build_network
from verse_train.networks.stored import checksum, load_weights


def is_weights(folder: Path) -> bool:
    """Is it a weights folder, not a training's?"""
    return (folder / MANIFEST_NAME).exists()


def models_of_weights(folder: Path, config: TrainingConfig) -> tuple[ModelFolder, ...]:
    """The models of a stage in a weights folder; UsageError unless they have the configuration's size."""
    models = read_manifest(folder).stages.present()[config.stage].models
    for model in models:
        found = model.training.size if model.training else "that nothing states"
        if found != config.size.name:
            raise UsageError(
                f"{folder}: expected networks of the size {config.size.name} for {config.stage}, "
                f"got {model.folder} of a size {found}"
            )
    return models


def network_of_weights(folder: Path, config: TrainingConfig) -> keras.Model:
    """The network of a stage in a weights folder, the first of several, in Keras's present precision.

    UsageError unless it has the configuration's size and the folder its file; WeightsError where that is
    damaged.
    """
    stored = models_of_weights(folder, config)[0].training
    path = folder / stored.file if stored else folder
    if stored is None or not path.is_file():
        raise UsageError(f"{path}: expected weights to begin a training with, found none")
    if (found := checksum(path)) != stored.sha256:
        raise WeightsError(f"{path}: damaged: expected SHA-256 {stored.sha256}, got {found}")
    network = build_network(config.stage, config.size)
    load_weights(network, path)
    return network
