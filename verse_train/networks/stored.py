"""The weights of a network as a file that a training begins with, whatever Keras and TensorFlow become.

One array for each of the network's weights, under the name of its layer and its own, such as
down0_1/kernel; float16, half the size of what is computed with. That moves a bundled network's answers by
less than bfloat16, in which it is trained and used, does.
"""

import hashlib
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np

from verse_infer.errors import UsageError
from verse_infer.files.atomic import atomic_write

#: Of stored numbers; larger ones than it has would become infinite.
STORED = np.float16


def save_weights(network: keras.Model, path: Path) -> None:
    """Write a file; the same weights give the same bytes. UsageError where they are no numbers of float16."""
    arrays = {
        weight.path: keras.ops.convert_to_numpy(weight).astype(STORED) for weight in network.weights
    }
    strange = [name for name, values in arrays.items() if not np.isfinite(values).all()]
    if strange:
        raise UsageError(
            f"expected weights that float16 can hold, got infinite ones: {' '.join(strange)}"
        )
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def load_weights(network: keras.Model, path: Path) -> None:
    """Give a network the weights of a file; UsageError unless it has them all in the same shapes."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name], np.float32) for name in stored.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise UsageError(f"{path}: expected weights to begin a training with: {error}") from error
    expected = {weight.path: tuple(weight.shape) for weight in network.weights}
    found = {name: values.shape for name, values in arrays.items()}
    if found != expected:
        name = min(name for name, _ in found.items() ^ expected.items())
        raise UsageError(
            f"{path}: expected weights of another network, as {name} shows: "
            f"expected {expected.get(name, 'none')}, got {found.get(name, 'none')}"
        )
    network.set_weights([arrays[weight.path] for weight in network.weights])


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
