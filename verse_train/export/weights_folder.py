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
from verse_infer.weights import (
    MANIFEST_NAME,
    OUTPUT,
    Manifest,
    ModelFolder,
    Stage,
    Stages,
    StageWeights,
    as_json,
    folder_checksum,
)
from verse_train.config import TrainingConfig
from verse_train.networks.answers import Answer, answering, in_float32
from verse_train.training.frozen import models_of_weights
from verse_train.training.run import is_weights, load_network

CARD_NAME = "MODEL_CARD.md"


@dataclass(frozen=True, slots=True)
class StageExport:
    """What of one stage goes into a weights folder: networks and the stage's manifest entry.

    networks: Keras models as build_network makes them, or folders of SavedModels that already give the
    stage's answer and are copied; averaged at run time if several.
    weights: the entry; its `models` is filled in by the export.
    answer: what the SavedModel makes of the network's output: nothing, responses of logits
    (sigmoid), or heatmaps of logits (shares).
    """

    networks: Sequence[keras.Model | Path]
    weights: StageWeights
    answer: Answer = "as is"


def require_tensorflow() -> None:
    """UsageError unless Keras runs on TensorFlow: SavedModels are graphs of TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UsageError(
            f"expected Keras to run on TensorFlow to export, got {backend}: run the same command "
            "with KERAS_BACKEND=tensorflow, which reads checkpoints of either"
        )


def networks_to_export(folder: Path, config: TrainingConfig) -> list[keras.Model | Path]:
    """The network of a training folder's last checkpoint, or the SavedModels of a weights folder.

    UsageError, before anything is loaded, where Keras does not run on TensorFlow.
    """
    require_tensorflow()
    if is_weights(folder):
        return [*models_of_weights(folder, config)]
    return [load_network(folder, config)]


def export_weights(
    folder: Path,
    name: str,
    stages: Mapping[Stage, StageExport],
    facts: Mapping[str, Any],
    card: str = "",
) -> None:
    """Write SavedModels, manifest.json and the model card's text, if any.

    The folder is replaced as a whole, or not at all. UsageError where Keras does not run on TensorFlow.
    """
    require_tensorflow()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".weights-") as temporary:
        partial = Path(temporary) / "weights"
        entries: dict[str, StageWeights] = {}
        for stage in stages:
            models = []
            for number, network in enumerate(stages[stage].networks):
                model = f"{stage}/model{number}"
                if isinstance(network, Path):
                    shutil.copytree(network, partial / model)
                else:
                    save_frozen(network, partial / model, stages[stage].answer)
                models.append(ModelFolder(model, folder_checksum(partial / model)))
            entries[stage] = structs.replace(stages[stage].weights, models=tuple(models))
        manifest = Manifest(name=name, stages=Stages(**entries), facts=dict(facts))  # type: ignore[arg-type]
        (partial / MANIFEST_NAME).write_text(as_json(manifest), encoding="utf-8")
        if card:
            (partial / CARD_NAME).write_text(card, encoding="utf-8")
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        partial.rename(folder)


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
