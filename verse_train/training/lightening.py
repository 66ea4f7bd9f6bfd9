"""From a `compact` network to the `light` one that answers nearly the same, to be trained on.

Linear enlarging by 2 and a convolution 3×3×3 are together one convolution of the coarse features: along an
axis, each of the two fine voxels of a coarse one sees this and the two beside it. A transposed convolution
4×4×4 sees two of the three, so the third's weight, that of the farther one, goes to the middle. Where
features change slowly that is the same; a short training does the rest.
"""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import UsageError
from verse_train.config import TrainingConfig
from verse_train.networks.architectures import SIZES, build_network
from verse_train.training.frozen import networks_of_weights
from verse_train.training.run import CHECKPOINT, training_model

Kernel = NDArray[np.float32]
#: Rows: places 0 to 3 of a transposed convolution by 2. Columns: places -1, 0, 1 of the convolution of
#: linearly enlarged features. Places 1 and 3 make the first fine voxel of a pair of this coarse voxel and
#: the one before, 2 and 0 the second of this and the one after.
_FOLDED = np.array(
    [[0.0, 0.25, 0.75], [0.25, 0.75, 1.0], [1.0, 0.75, 0.25], [0.75, 0.25, 0.0]], np.float32
)


def lighten(weights: Path, config: TrainingConfig, run: Path) -> None:
    """Make a training folder whose checkpoint, at step 0, is the light network of a weights folder's.

    config: of the light network. UsageError where it is none, where the folder has a training, or the
    weights folder no network of the size `compact`.
    """
    if SIZES[config.size].upsampling != "transposed":
        raise UsageError(
            f"{config.stage}: expected a stage with a light network, got {config.size}"
        )
    if (run / CHECKPOINT).exists():
        raise UsageError(f"{run}: expected a folder without a training")
    (network, *others) = networks_of_weights(weights, replace(config, size="compact"))
    if others:
        raise UsageError(f"{weights}: expected one network of {config.stage}, got an ensemble")
    run.mkdir(parents=True, exist_ok=True)
    model = training_model(config, lightened(network, config))
    model.optimizer.build(model.trainable_variables)
    model.save(run / CHECKPOINT)


def lightened(network: keras.Model, config: TrainingConfig) -> keras.Model:
    """A network of the configuration's size, `light` or alike, from the same with linear upsampling."""
    light = build_network(config.stage, SIZES[config.size])
    transposed = keras.layers.Conv3DTranspose
    enlarging = (layer for layer in light.layers if isinstance(layer, transposed))
    for layer, light_layer in zip(_weighted(network), _weighted(light), strict=True):
        values = layer.get_weights()
        skipped = light_layer.get_weights()[0].shape[-2] if len(values[0].shape) == 5 else None
        if skipped is not None and skipped < values[0].shape[-2]:
            next(enlarging).set_weights([transposed_kernel(values[0][..., skipped:, :])])
            values[0] = values[0][..., :skipped, :]
        light_layer.set_weights(values)
    return light


def transposed_kernel(kernel: Kernel) -> Kernel:
    """Of a convolution of enlarged features, (3, 3, 3, in, out), as (4, 4, 4, out, in)."""
    folded = np.einsum("az,by,cx,zyxio->abcoi", _FOLDED, _FOLDED, _FOLDED, kernel)
    return np.asarray(folded, np.float32)


def _weighted(network: keras.Model) -> list[keras.layers.Layer]:
    """Layers with weights that both kinds of network have, kind by kind, as they were built."""
    found = [layer for layer in network.layers if layer.weights]
    kept = [layer for layer in found if not isinstance(layer, keras.layers.Conv3DTranspose)]
    return sorted(kept, key=lambda layer: type(layer).__name__)
