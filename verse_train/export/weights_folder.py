"""From trained Keras networks to a weights folder: frozen float32 SavedModels and their manifest."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from msgspec import structs

from verse_infer.errors import UsageError
from verse_infer.networks import check_files
from verse_infer.weights import (
    MANIFEST_NAME,
    OUTPUT,
    Manifest,
    ModelFolder,
    Stage,
    Stages,
    StageWeights,
    TrainingFile,
    as_json,
    folder_checksum,
    read_manifest,
)
from verse_train.config import TrainingConfig
from verse_train.identification.network import answering_heads
from verse_train.identification.training import load_identification
from verse_train.networks.answers import Answer, answering, in_float32
from verse_train.networks.architectures import build_network
from verse_train.networks.stored import checksum, save_weights
from verse_train.sizes import NetworkSize
from verse_train.training.run import load_network
from verse_train.training.start import is_weights, models_of_weights

CARD_NAME = "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A model of another weights folder."""

    weights: Path
    model: ModelFolder


@dataclass(frozen=True, slots=True)
class StageExport:
    """What of one stage goes into a weights folder: networks and the stage's manifest entry.

    networks: Keras models, or those of another weights folder, which are copied; averaged at run time if
    several.
    weights: the entry; its `models` is filled in by the export.
    answer: what the SavedModel makes of the network's output: nothing, responses of logits
    (sigmoid), or heatmaps of logits (shares).
    size: of the Keras models, where build_network makes them; their weights are then kept for further
    trainings, too.
    """

    networks: Sequence[keras.Model | TakenOver]
    weights: StageWeights
    answer: Answer = "as is"
    size: NetworkSize | None = None


def require_tensorflow() -> None:
    """UsageError unless Keras runs on TensorFlow: SavedModels are graphs of TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UsageError(
            f"expected Keras to run on TensorFlow to export, got {backend}: run the same command "
            "with KERAS_BACKEND=tensorflow, which reads checkpoints of either"
        )


def networks_to_export(folder: Path, config: TrainingConfig) -> list[keras.Model | TakenOver]:
    """The network of a training folder's last checkpoint, or the models of a weights folder.

    UsageError, before anything is loaded, where Keras does not run on TensorFlow; WeightsError where
    models are damaged.
    """
    require_tensorflow()
    if is_weights(folder):
        return [*taken_over(folder, models_of_weights(folder, config))]
    return [load_network(folder, config)]


def identification_networks(folder: Path) -> list[keras.Model | TakenOver]:
    """The same for the stage that names vertebrae; UsageError where a weights folder has none."""
    require_tensorflow()
    if not is_weights(folder):
        return [answering_heads(load_identification(folder))]
    entry = read_manifest(folder).stages.vertebra_identification
    if entry is None:
        raise UsageError(f"{folder}: expected weights with vertebra_identification, got none of it")
    return [*taken_over(folder, entry.models)]


def taken_over(weights: Path, models: Sequence[ModelFolder]) -> list[TakenOver]:
    """Models of a weights folder, checked; WeightsError where they are damaged."""
    for model in models:
        check_files(weights / model.folder, model.sha256)
    return [TakenOver(weights, model) for model in models]


def export_weights(
    folder: Path,
    name: str,
    stages: Mapping[Stage, StageExport],
    facts: Mapping[str, Any],
    card: str = "",
) -> None:
    """Write SavedModels, what trainings begin with, manifest.json and the model card's text, if any.

    The folder is replaced as a whole, or not at all. UsageError where Keras does not run on TensorFlow.
    """
    require_tensorflow()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".weights-") as temporary:
        partial = Path(temporary) / "weights"
        entries: dict[str, StageWeights] = {}
        for stage, export in stages.items():
            models = tuple(
                _copied(network, partial, stage, number)
                if isinstance(network, TakenOver)
                else _saved(network, export, partial, stage, number)
                for number, network in enumerate(export.networks)
            )
            entries[stage] = structs.replace(export.weights, models=models)
        manifest = Manifest(name=name, stages=Stages(**entries), facts=dict(facts))  # type: ignore[arg-type]
        (partial / MANIFEST_NAME).write_text(as_json(manifest), encoding="utf-8")
        if card:
            (partial / CARD_NAME).write_text(card, encoding="utf-8")
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        partial.rename(folder)


def _saved(
    network: keras.Model, export: StageExport, folder: Path, stage: Stage, number: int
) -> ModelFolder:
    """The network as SavedModel, and as a training begins with it."""
    place = f"{stage}/model{number}"
    save_frozen(network, folder / place, export.answer)
    training = None
    if export.size:
        # The same network anew: a checkpoint's layers have the names of the day it was begun.
        named = build_network(stage, export.size)
        named.set_weights(network.get_weights())
        file = _training_file(place)
        save_weights(named, folder / file)
        training = TrainingFile(file, checksum(folder / file), export.size.name)
    return ModelFolder(place, folder_checksum(folder / place), training)


def _copied(taken: TakenOver, folder: Path, stage: Stage, number: int) -> ModelFolder:
    """A model of another weights folder, byte for byte; what a training begins with, if that is there."""
    place = f"{stage}/model{number}"
    shutil.copytree(taken.weights / taken.model.folder, folder / place)
    training = taken.model.training
    if training is not None:
        source, file = taken.weights / training.file, _training_file(place)
        if source.is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / file)
        training = structs.replace(training, file=file)
    return ModelFolder(place, taken.model.sha256, training)


def _training_file(place: str) -> str:
    return f"training/{place}.npz"


def save_frozen(network: keras.Model, folder: Path, answer: Answer = "as is") -> None:
    """One SavedModel whose weights are constants of its graph: image -> outputs by name, float32.

    The network is rebuilt in float32 whatever policy it was trained with. Any batch and sizes. A network
    with one output names it "output".
    Frozen weights let TensorFlow fuse convolution, bias and activation when it loads the graph.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    plain = answering(in_float32(network), answer)
    outputs = plain.output if isinstance(plain.output, dict) else {OUTPUT: plain.output}
    shapes = {name: tensor.shape for name, tensor in outputs.items()}
    names = sorted(shapes)

    def run(image: Any) -> dict[str, Any]:
        answer = plain(image, training=False)
        return answer if isinstance(answer, dict) else {OUTPUT: answer}

    unknown = [None] * (len(plain.input_shape) - 1)
    signature = [tf.TensorSpec((*unknown, plain.input_shape[-1]), tf.float32, "image")]
    frozen = convert_variables_to_constants_v2(
        tf.function(run, input_signature=signature).get_concrete_function()
    )

    def serve(image: Any) -> dict[str, Any]:
        answers = dict(zip(names, frozen(image), strict=True))
        for name, tensor in answers.items():
            tensor.set_shape((*[None] * (len(shapes[name]) - 1), shapes[name][-1]))
        return answers

    holder = tf.Module()
    holder.serve = tf.function(serve, input_signature=signature)
    tf.saved_model.save(holder, str(folder), signatures=holder.serve)
