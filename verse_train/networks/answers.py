"""What a stage's answer is, made from the output of its network."""

from collections.abc import Callable
from typing import Any, Literal

import keras

from verse_train.config import TrainingConfig
from verse_train.networks.layers import NamedHeatmaps, NamedLogits
from verse_train.networks.losses import shares

#: Nothing changed; responses of logits; heatmaps of logits against the background.
Answer = Literal["as is", "sigmoid", "shares"]
FINISH: dict[Answer, Callable[[Any], Any]] = {
    "as is": lambda output: output,
    "sigmoid": keras.ops.sigmoid,
    "shares": shares,
}


def answer_of(config: TrainingConfig) -> Answer:
    """How the output of a network trained with this configuration becomes the stage's answer."""
    if config.stage == "vertebra_segmentation":
        return "sigmoid"
    if config.stage == "vertebra_localisation" and config.size.heatmaps == "shares":
        return "shares"
    return "as is"


def answering(network: keras.Model, answer: Answer) -> keras.Model:
    """The network with the stage's answer as its output.

    The heatmaps of NamedLogits are those of NamedHeatmaps from the same two inputs, at a quarter of the
    time: nothing is brought to logarithms and back.
    """
    if answer == "shares":
        (logits,) = (layer for layer in network.layers if isinstance(layer, NamedLogits))
        return keras.Model(
            network.input, NamedHeatmaps(dtype="float32", name="answer")(logits.input)
        )
    return keras.Model(network.input, FINISH[answer](network.output))


def in_float32(network: keras.Model) -> keras.Model:
    """The same network and weights with every layer computing in float32."""

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        config["dtype"] = "float32"
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(network, clone_function=plain)
    copy.set_weights(network.get_weights())
    return copy
