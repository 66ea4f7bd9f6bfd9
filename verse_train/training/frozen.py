"""From the frozen SavedModel of a weights folder back to a Keras network, to train it further.

Who has scans of their own but no days to train can begin with the bundled weights. A frozen graph holds
its weights as constants, whose names still tell their layers.
"""

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import UsageError
from verse_infer.networks import check_files
from verse_infer.weights import read_manifest
from verse_train.config import TrainingConfig
from verse_train.networks.answers import FINISH, answer_of, in_float32
from verse_train.networks.architectures import SIZES, build_network

Values = NDArray[np.float32]
#: A constant of a layer, such as network/conv3d_2_1/convolution/ReadVariableOp/resource. Saving adds the
#: last number of the layer.
_CONSTANT = re.compile(r"[^/]+/(?P<layer>[^/]+)_\d+/(?P<operation>[^/]+)/ReadVariableOp/resource")
#: A layer's name: what it is, and a number that grows in the order of building.
_LAYER = re.compile(r"(?P<kind>.+?)(_(?P<number>\d+))?")
#: Voxels along each axis of the picture that both networks are shown, and how far they may differ.
_SHOWN = 32
_TOLERANCE = 1e-3


def networks_of_weights(folder: Path, config: TrainingConfig) -> list[keras.Model]:
    """The networks of a stage in a weights folder, in Keras's present precision.

    WeightsError if their files are missing or damaged; UsageError if they were not exported from
    networks of this configuration's size: the layers are compared by shape, and both networks must
    answer the same to a random picture.
    """
    models = read_manifest(folder).stages.present()[config.stage].models
    for model in models:
        check_files(folder / model.folder, model.sha256)
    return [_network(folder / model.folder, config) for model in models]


def models_of_weights(folder: Path, config: TrainingConfig) -> list[Path]:
    """The SavedModels of a stage in a weights folder, for export as they are; errors as above."""
    networks_of_weights(folder, config)
    models = read_manifest(folder).stages.present()[config.stage].models
    return [folder / model.folder for model in models]


def _network(path: Path, config: TrainingConfig) -> keras.Model:
    expected = f"{path}: expected a network of the size {config.size} for {config.stage}"
    network = build_network(config.stage, SIZES[config.size])
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    constants = _constants(path)
    if len(layers) != len(constants):
        raise UsageError(f"{expected}, of {len(layers)} layers, got {len(constants)}")
    for name, stored in zip(sorted(layers, key=_order), sorted(constants, key=_order), strict=True):
        values = constants[stored]
        if [value.shape for value in values] != [tuple(w.shape) for w in layers[name].weights]:
            raise UsageError(f"{expected}; its {stored} has shapes of another")
        layers[name].set_weights(values)
    if not _answer_alike(network, path, config):
        raise UsageError(f"{expected}; it answers differently")
    return network


def _order(layer: str) -> tuple[str, int]:
    """Sorts layers by kind, and within a kind as they were built."""
    match = _LAYER.fullmatch(layer)
    return (match["kind"], int(match["number"] or 0)) if match else (layer, 0)


def _constants(path: Path) -> dict[str, list[Values]]:
    """Weights of each layer of a SavedModel: kernel and bias, or scale and shift."""
    from tensorflow import make_ndarray
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    found: dict[str, dict[tuple[bool, str], Values]] = {}
    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            match = _CONSTANT.fullmatch(node.name)
            if match and node.op == "Const":
                values = make_ndarray(node.attr["value"].tensor)
                # Kernels come before biases; the operation of the scale, Cast, before that of the
                # shift, Cast_1.
                place = (values.ndim == 1, match["operation"])
                found.setdefault(match["layer"], {})[place] = values
    return {layer: [parts[place] for place in sorted(parts)] for layer, parts in found.items()}


def _answer_alike(network: keras.Model, path: Path, config: TrainingConfig) -> bool:
    """Whether the network and the SavedModel make the same of a random picture."""
    import tensorflow as tf

    shape = (1, _SHOWN, _SHOWN, _SHOWN, network.input_shape[-1])
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    with _full_precision():
        own = FINISH[answer_of(config)](in_float32(network)(image, training=False))
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    stored = signature(tf.constant(image))["output"].numpy()
    return bool(np.allclose(keras.ops.convert_to_numpy(own), stored, atol=_TOLERANCE))


def _full_precision() -> AbstractContextManager[Any]:
    """On a GPU, JAX rounds the factors of a float32 convolution to 10 bits unless told otherwise."""
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax

    return jax.default_matmul_precision("highest")  # type: ignore[no-any-return]
