"""Losses against sums counted voxel by voxel in float64 numpy."""

import keras
import numpy as np
import pytest

from verse_infer.anatomy import LABELS
from verse_train.data.samples import MAX_IGNORED
from verse_train.networks.losses import (
    HEATMAP_GAMMA,
    IGNORED_RADIUS,
    LandmarkHeatmapLoss,
    LandmarkShareLoss,
    predicted_loss,
    segmentation_loss,
    shares,
    weighted_heatmap_loss,
)

SHAPE = (5, 6, 7)  # z, y, x
VOXELS = 5 * 6 * 7
CHANNELS = len(LABELS)


def landmark_rows(landmarks=None, ignored=()):
    """landmarks: channel -> x, y, z in voxels."""
    rows = np.zeros((1, CHANNELS + MAX_IGNORED, 4), np.float32)
    for channel, point in (landmarks or {}).items():
        rows[0, channel] = (*point, 1)
    for number, point in enumerate(ignored):
        rows[0, CHANNELS + number] = (*point, 1)
    return rows


def squared_distance(point):
    z, y, x = np.indices(SHAPE)
    return (x - point[0]) ** 2 + (y - point[1]) ** 2 + (z - point[2]) ** 2


def zeros():
    return np.zeros((1, *SHAPE, CHANNELS), np.float32)


def value(layer, prediction, rows):
    result = np.asarray(layer((prediction, rows)))
    assert result.shape == (len(prediction), 1)
    return float(result[0, 0])


def test_heatmap_loss_of_a_zero_answer_is_the_mean_square_of_the_target():
    point, sigma = (2.0, 3.5, 1.0), 1.5
    target = np.exp(-squared_distance(point) / (2 * sigma**2))
    expected = (target**2).sum() / (VOXELS * CHANNELS)
    assert value(LandmarkHeatmapLoss(sigma), zeros(), landmark_rows({3: point})) == pytest.approx(
        expected, rel=1e-5
    )


def test_heatmap_loss_is_zero_for_the_right_answer_in_the_right_channel_only():
    point, sigma = (4.0, 2.0, 3.0), 2.0
    right = zeros()
    right[0, ..., 25] = np.exp(-squared_distance(point) / (2 * sigma**2))
    loss = LandmarkHeatmapLoss(sigma)
    assert value(loss, right, landmark_rows({25: point})) == pytest.approx(0, abs=1e-12)
    assert value(loss, right[..., ::-1], landmark_rows({25: point})) > 1e-3
    # x and z must not be swapped.
    assert value(loss, right, landmark_rows({25: point[::-1]})) > 1e-3


def test_voxels_near_any_vertebra_weigh_more():
    point, sigma, weight = (2.0, 3.0, 1.0), 1.5, 5.0
    near = np.exp(-squared_distance(point) / (2 * sigma**2))
    # A constant error of 0.1 in channel 0, where the landmark is in channel 3 and answered right.
    answer = zeros()
    answer[0, ..., 0] = 0.1
    answer[0, ..., 3] = near
    expected = (0.01 * (1 + weight * near)).sum() / (VOXELS * CHANNELS)
    loss = LandmarkHeatmapLoss(sigma, near_weight=weight)
    assert value(loss, answer, landmark_rows({3: point})) == pytest.approx(expected, rel=1e-4)


def test_learned_sigma_gives_sums_heights_of_constant_volume_and_a_penalty():
    point, sigma, alpha = (3.0, 2.0, 2.0), 4.0, 100.0
    height = HEATMAP_GAMMA / ((2 * np.pi) ** 1.5 * sigma**3)
    assert height == pytest.approx(1.0, abs=0.01)  # as the constant's comment says
    target = height * np.exp(-squared_distance(point) / (2 * sigma**2))
    expected = (target**2).sum() + alpha * CHANNELS * sigma**2
    loss = LandmarkHeatmapLoss(sigma, sigma_penalty=alpha)
    assert value(loss, zeros(), landmark_rows({0: point})) == pytest.approx(expected, rel=1e-5)
    assert [tuple(w.shape) for w in loss.trainable_weights] == [(CHANNELS,)]


def test_each_landmark_has_its_own_sigma():
    points, sigmas = {1: (1.0, 1.0, 1.0), 2: (5.0, 4.0, 3.0)}, {1: 2.0, 2: 3.0}
    loss = LandmarkHeatmapLoss(4.0, sigma_penalty=1.0)
    rows = landmark_rows(points)
    loss((zeros(), rows))
    values = np.full(CHANNELS, 4.0)
    for channel, sigma in sigmas.items():
        values[channel] = sigma
    loss.set_weights([values])
    expected = (values**2).sum()
    for channel, point in points.items():
        sigma = sigmas[channel]
        height = HEATMAP_GAMMA / ((2 * np.pi) ** 1.5 * sigma**3)
        expected += ((height * np.exp(-squared_distance(point) / (2 * sigma**2))) ** 2).sum()
    assert value(loss, zeros(), rows) == pytest.approx(expected, rel=1e-5)


def test_a_fixed_sigma_is_not_trained():
    loss = LandmarkHeatmapLoss(3.0)
    loss((zeros(), landmark_rows()))
    assert loss.trainable_weights == []


@pytest.mark.parametrize("layer", [LandmarkHeatmapLoss(2.0), LandmarkHeatmapLoss(2.0, 1e-3)])
def test_around_a_cut_vertebra_no_heatmap_answer_is_wrong(layer):
    wrong, corner = zeros(), (0.0, 0.0, 0.0)
    inside = squared_distance(corner) < IGNORED_RADIUS**2
    assert not inside.all()
    wrong[0, ..., 4] = np.where(inside, 9.0, 0.0)
    rows = landmark_rows(ignored=[corner])
    assert value(layer, wrong, rows) == pytest.approx(value(layer, zeros(), rows), abs=1e-7)
    assert value(layer, wrong, landmark_rows()) > value(layer, zeros(), rows) + 0.1


def entropy_by_hand(logits, landmarks, sigma):
    """Cross-entropy over 27 classes, divided by the voxels that one vertebra and background weigh."""
    targets = np.zeros((*SHAPE, CHANNELS))
    for channel, point in landmarks.items():
        targets[..., channel] = np.exp(-squared_distance(point) / (2 * sigma**2))
    targets /= np.maximum(targets.sum(axis=-1, keepdims=True), 1.0)
    targets = np.concatenate([targets, 1 - targets.sum(axis=-1, keepdims=True)], axis=-1)
    full = np.concatenate([logits.astype(float), np.zeros((*SHAPE, 1))], axis=-1)
    log_shares = full - np.log(np.exp(full).sum(axis=-1, keepdims=True))
    entropy = -(targets * log_shares).sum(axis=-1)
    return entropy, (2 * np.pi) ** 1.5 * sigma**3 * (len(landmarks) + 1)


def test_share_loss_without_landmarks_is_the_entropy_of_27_equal_classes():
    """210 voxels of log 27 each, divided by (2π)^1.5 · 3³ = 425.2."""
    expected = VOXELS * np.log(27) / ((2 * np.pi) ** 1.5 * 27)
    assert value(LandmarkShareLoss(3.0), zeros(), landmark_rows()) == pytest.approx(expected, 1e-5)


def test_share_loss_of_random_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (1, *SHAPE, CHANNELS)).astype(np.float32)
    landmarks = {0: (1.0, 2.0, 3.0), 25: (2.2, 2.0, 3.0), 7: (6.0, 5.0, 0.0)}  # two overlap
    entropy, weight = entropy_by_hand(logits[0], landmarks, 1.5)
    assert value(LandmarkShareLoss(1.5), logits, landmark_rows(landmarks)) == pytest.approx(
        entropy.sum() / weight, rel=1e-5
    )


def test_share_loss_stays_finite_for_huge_logits_of_either_sign():
    for size in (500.0, -500.0):
        logits = np.full((1, *SHAPE, CHANNELS), size, np.float32)
        assert np.isfinite(value(LandmarkShareLoss(2.0), logits, landmark_rows({1: (2, 2, 2)})))


def test_around_a_cut_vertebra_no_share_is_wrong():
    corner = (0.0, 0.0, 0.0)
    logits = np.full((1, *SHAPE, CHANNELS), -4.0, np.float32)
    entropy, weight = entropy_by_hand(logits[0], {}, 2.0)
    counted = entropy[squared_distance(corner) > IGNORED_RADIUS**2].sum()
    # The radius itself is outside or inside by rounding: both are right, nothing between.
    border = entropy[squared_distance(corner) == IGNORED_RADIUS**2].sum()
    found = value(LandmarkShareLoss(2.0), logits, landmark_rows(ignored=[corner])) * weight
    assert counted * 0.999 <= found <= (counted + border) * 1.001


def test_the_best_shares_are_the_target_gaussians():
    """The cross-entropy's gradient vanishes where the shares equal the targets."""
    point, sigma = (3.0, 3.0, 2.0), 1.5
    target = np.clip(np.exp(-squared_distance(point) / (2 * sigma**2)), 1e-6, 1 - 1e-6)
    logits = np.full((1, *SHAPE, CHANNELS), -40.0, np.float32)
    logits[0, ..., 6] = np.log(target / (1 - target))
    loss, rows = LandmarkShareLoss(sigma), landmark_rows({6: point})
    best = value(loss, logits, rows)
    for change in (-0.3, 0.3):
        changed = logits.copy()
        changed[..., 6] += change
        assert value(loss, changed, rows) > best


def test_shares_are_the_softmax_against_a_background_of_logit_zero():
    logits = np.array([[0.0] * CHANNELS, [np.log(4.0)] + [-90.0] * (CHANNELS - 1)], np.float32)
    found = np.asarray(shares(logits))
    assert found[0] == pytest.approx(np.full(CHANNELS, 1 / 27))
    assert found[1] == pytest.approx([0.8] + [0.0] * (CHANNELS - 1))


def test_samples_of_a_batch_do_not_mix():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (2, *SHAPE, CHANNELS)).astype(np.float32)
    rows = np.concatenate(
        [landmark_rows({0: (1, 1, 1)}), landmark_rows({5: (3, 4, 2)}, [(6, 5, 4)])]
    )
    for layer in (LandmarkShareLoss(2.0), LandmarkHeatmapLoss(2.0), LandmarkHeatmapLoss(2.0, 1.0)):
        together = np.asarray(layer((logits, rows)))[:, 0]
        apart = [value(layer, logits[i : i + 1], rows[i : i + 1]) for i in range(2)]
        assert together == pytest.approx(apart, rel=1e-5)


def test_segmentation_loss_is_the_mean_sigmoid_cross_entropy():
    """Logits 0, log 3, -log 3 against 0, 1, 1: -log ½, -log ¾, -log ¼."""
    logits = np.array([0, np.log(3), -np.log(3)], np.float32).reshape(1, 1, 1, 3, 1)
    target = np.array([0, 1, 1], np.float32).reshape(1, 1, 1, 3, 1)
    expected = -(np.log(0.5) + np.log(0.75) + np.log(0.25)) / 3
    assert float(segmentation_loss(False)(target, logits)[0]) == pytest.approx(expected, rel=1e-6)


def test_segmentation_loss_with_dice():
    """Responses ½, ¾, ¼ against 0, 1, 1: overlap 1, sizes 1.5 + 2; Dice (2 + 1) / (3.5 + 1)."""
    logits = np.array([0, np.log(3), -np.log(3)], np.float32).reshape(1, 1, 1, 3, 1)
    target = np.array([0, 1, 1], np.float32).reshape(1, 1, 1, 3, 1)
    plain, both = (float(segmentation_loss(dice)(target, logits)[0]) for dice in (False, True))
    assert both - plain == pytest.approx(1 - 3 / 4.5, rel=1e-5)


def test_segmentation_loss_of_sure_answers():
    target = (np.arange(64) % 3 == 0).astype(np.float32).reshape(1, 4, 4, 4, 1)
    right, wrong = (target * 2 - 1) * 200, (1 - target * 2) * 200
    for dice in (False, True):
        loss = segmentation_loss(dice)
        assert float(loss(target, right)[0]) == pytest.approx(0, abs=1e-6)
        assert float(loss(target, wrong)[0]) >= 200


def test_an_empty_target_answered_empty_has_no_dice_loss():
    target, logits = np.zeros((1, 4, 4, 4, 1), np.float32), np.full((1, 4, 4, 4, 1), -200.0)
    loss = segmentation_loss(True)(target, logits.astype(np.float32))
    assert float(loss[0]) == pytest.approx(0, abs=1e-6)


def test_weighted_heatmap_loss():
    """Errors of 0.5 at target 1 and of 0.2 at target 0; weights 1 + 3 and 1."""
    target = np.array([1.0, 0.0], np.float32).reshape(1, 1, 1, 2, 1)
    answer = np.array([0.5, 0.2], np.float32).reshape(1, 1, 1, 2, 1)
    loss = weighted_heatmap_loss(3.0)(target, answer)
    assert float(loss[0]) == pytest.approx((4 * 0.25 + 0.04) / 2, rel=1e-6)


def test_predicted_loss_hands_on_what_the_model_answers():
    loss = np.array([[2.0], [5.0]], np.float32)
    assert np.asarray(predicted_loss(np.zeros((2, 1)), loss)).tolist() == [2.0, 5.0]


@pytest.mark.parametrize("layer", [LandmarkShareLoss(2.5), LandmarkHeatmapLoss(2.5, 7.0, 3.0)])
def test_loss_layers_compute_in_float32_under_any_policy(layer):
    with_policy = type(layer)(2.5, dtype="mixed_bfloat16")
    assert with_policy.dtype_policy == keras.DTypePolicy("float32")
