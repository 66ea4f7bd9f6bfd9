"""Losses of the three trainings, backend-neutral.

The heatmap losses live in layers that end the training model, because the target heatmaps of stage 2
depend on a trained quantity, their σ.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from verse_infer.anatomy import LABELS

Tensor = Any
#: Radius in voxels around a cut vertebra inside which no answer is wrong.
IGNORED_RADIUS = 6.0
#: γ of the target heatmaps γ / ((2π)^(3/2) σ³) · exp(-d² / 2σ²): height 1 at σ = 4 voxels
#: (Payer et al. 2019, Medical Image Analysis 54, equation 2).
HEATMAP_GAMMA = 1000.0


def predicted_loss(_: Tensor, loss: Tensor) -> Tensor:
    """The training model already answers with its loss; (batch, 1) -> (batch,)."""
    return ops.mean(loss, axis=-1)


@keras.saving.register_keras_serializable("verse_train")
class LandmarkHeatmapLoss(keras.layers.Layer):  # type: ignore[misc]
    """Squared difference of 26 predicted heatmaps and Gaussians at the landmarks.

    sigma_penalty > 0: the paper's loss, Σ‖ĥ - h(σ)‖² + α‖σ‖² with a trained σ for each landmark
    and targets of volume γ. Otherwise σ is fixed, targets have height 1, and the loss is a mean in
    which voxels near any vertebra weigh 1 + near_weight.
    Inputs: prediction (batch, z, y, x, 26), landmark rows of samples.py. Output: (batch, 1).
    """

    def __init__(
        self, sigma: float, sigma_penalty: float = 0.0, near_weight: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.sigma = sigma
        self.sigma_penalty = sigma_penalty
        self.near_weight = near_weight

    def build(self, _: Any) -> None:
        """σ of each landmark, trained or not."""
        self.sigmas = self.add_weight(
            shape=(len(LABELS),),
            initializer=keras.initializers.Constant(self.sigma),
            trainable=self.sigma_penalty > 0,
            name="sigmas",
        )

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of each sample of the batch."""
        prediction, rows = inputs
        shape = ops.shape(prediction)[1:4]
        targets = _gaussians(rows[:, : len(LABELS)], self.sigmas, shape)
        ignored = rows[:, len(LABELS) :]
        squares = ops.square(prediction - targets * self._heights())
        counts = 1.0 - ops.max(_balls(ignored, IGNORED_RADIUS, shape), axis=-1, keepdims=True)
        if self.sigma_penalty > 0:
            total = ops.sum(squares * counts, axis=(1, 2, 3, 4))
            penalty = self.sigma_penalty * ops.sum(ops.square(self.sigmas))
            return (total + penalty)[:, None]
        nearest = ops.max(targets, axis=-1, keepdims=True)
        weights = counts * (1.0 + self.near_weight * nearest)
        return ops.mean(squares * weights, axis=(1, 2, 3, 4))[:, None]

    def _heights(self) -> Tensor:
        if self.sigma_penalty > 0:
            return HEATMAP_GAMMA / ((2 * np.pi) ** 1.5 * self.sigmas**3)
        return 1.0


@keras.saving.register_keras_serializable("verse_train")
class LandmarkShareLoss(keras.layers.Layer):  # type: ignore[misc]
    """Cross-entropy of the softmax over 26 vertebrae and the background, against Gaussians.

    The target share of a vertebra is a Gaussian of height 1 at its centroid, the background has the
    rest; so the shares, once learned, are heatmaps. Summed over voxels and divided by the number of
    voxels that the Gaussians of one vertebra weigh, so that vertebrae count alike in every sample.
    Inputs: logits against the background (batch, z, y, x, 26), landmark rows of samples.py.
    Output: (batch, 1).
    """

    def __init__(self, sigma: float, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.sigma = sigma

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of each sample of the batch."""
        logits, rows = inputs
        shape = ops.shape(logits)[1:4]
        targets = _gaussians(rows[:, : len(LABELS)], self.sigma, shape)
        # Where Gaussians of close vertebrae overlap, their sum must not exceed 1.
        targets = targets / ops.maximum(ops.sum(targets, axis=-1, keepdims=True), 1.0)
        counts = 1.0 - ops.max(_balls(rows[:, len(LABELS) :], IGNORED_RADIUS, shape), axis=-1)
        top = ops.maximum(ops.max(logits, axis=-1), 0.0)
        shifted = ops.exp(logits - top[..., None])
        total = top + ops.log(ops.sum(shifted, axis=-1) + ops.exp(-top))
        entropy = counts * (total - ops.sum(targets * logits, axis=-1))
        vertebra = (2 * np.pi) ** 1.5 * self.sigma**3
        present = ops.sum(rows[:, : len(LABELS), 3], axis=-1)
        return (ops.sum(entropy, axis=(1, 2, 3)) / (vertebra * (present + 1.0)))[:, None]


def shares(logits: Tensor) -> Tensor:
    """Softmax over vertebrae and background, without the background; (..., 26) -> (..., 26)."""
    background = ops.zeros_like(logits[..., :1])
    return ops.softmax(ops.concatenate([logits, background], axis=-1))[..., :-1]


def _gaussians(rows: Tensor, sigmas: Tensor, shape: Any) -> Tensor:
    """Gaussians of height 1 at rows (batch, n, (x, y, z, present)) -> (batch, z, y, x, n)."""
    parts = []
    for axis, size in zip((2, 1, 0), shape, strict=True):
        places = ops.cast(ops.arange(size), "float32")
        offset = places[None, :, None] - rows[:, None, :, axis]
        parts.append(ops.exp(-0.5 * ops.square(offset / sigmas)))
    along_z, along_y, along_x = parts
    along_z = along_z * rows[:, None, :, 3]
    return along_z[:, :, None, None] * along_y[:, None, :, None] * along_x[:, None, None]


def _balls(rows: Tensor, radius: float, shape: Any) -> Tensor:
    """1 within radius voxels of the present rows, else 0; (batch, z, y, x, n)."""
    # A Gaussian of σ = radius falls to exp(-1/2) exactly at the radius.
    return ops.cast(_gaussians(rows, radius, shape) > np.exp(-0.5), "float32")


def weighted_heatmap_loss(near_weight: float) -> Any:
    """Mean squared difference of heatmaps; voxels weigh 1 + near_weight × target."""

    def loss(target: Tensor, prediction: Tensor) -> Tensor:
        weights = 1.0 + near_weight * target
        return ops.mean(weights * ops.square(prediction - target), axis=(1, 2, 3, 4))

    return loss


def segmentation_loss(with_dice: bool) -> Any:
    """Sigmoid cross-entropy of logits, the papers' loss; with_dice adds 1 - soft Dice."""

    def loss(target: Tensor, logits: Tensor) -> Tensor:
        entropy = ops.mean(
            ops.relu(logits) - logits * target + ops.log1p(ops.exp(-ops.abs(logits))),
            axis=(1, 2, 3, 4),
        )
        if not with_dice:
            return entropy
        response = ops.sigmoid(logits)
        overlap = ops.sum(response * target, axis=(1, 2, 3, 4))
        sizes = ops.sum(response + target, axis=(1, 2, 3, 4))
        return entropy + 1.0 - (2.0 * overlap + 1.0) / (sizes + 1.0)

    return loss
