"""What a stage's answer is, made from the output of its network."""

from collections.abc import Callable
from typing import Any, Literal

import keras

from verse_train.config import TrainingConfig
from verse_train.losses import shares
from verse_train.networks import SIZES

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
    if config.stage == "vertebra_localisation" and SIZES[config.size].logarithmic:
        return "shares"
    return "as is"
