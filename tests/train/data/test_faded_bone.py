from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from tests.helpers.training_cases import BACKGROUND_HU, VERTEBRA_HU, ball_case
from verse_train.data.fields_of_view import INSIDE_HU, faded


def test_the_inside_fades_and_the_shell_and_everything_else_stay():
    case = ball_case(spacing=1.0, size=(60, 60, 170))
    depth = scipy.ndimage.distance_transform_edt(case.mask > 0)
    for seed in range(5):
        shown = faded(case, np.random.default_rng(seed))
        assert np.array_equal(shown.mask, case.mask)
        assert (shown.hu[case.mask == 0] == BACKGROUND_HU).all()
        assert (shown.hu[(depth > 0) & (depth <= 1)] == VERTEBRA_HU).all()
        inside = shown.hu[depth > 4]
        # At least 0.6 of the way to at most the largest mean.
        assert (inside <= VERTEBRA_HU + 0.6 * (INSIDE_HU[1] - VERTEBRA_HU)).all()
        assert (inside >= INSIDE_HU[0]).all()
    assert (case.hu[case.mask > 0] == VERTEBRA_HU).all()


def test_without_vertebrae_nothing_changes():
    case = ball_case()
    empty = replace(case, mask=np.zeros_like(case.mask))
    assert faded(empty, np.random.default_rng(0)) is empty
    with pytest.raises(ValueError, match="no mask"):
        faded(replace(case, mask=None), np.random.default_rng(0))
