import numpy as np
import pytest

from verse_infer.errors import InputError
from verse_infer.files.ct_reading import to_hounsfield
from verse_infer.flags import FlagCode


def converted(stored, scaling=(1.0, 0.0)):
    """A volume in two parts along its last axis."""
    hu = np.empty(stored.shape, np.int16)
    flags = to_hounsfield(np.array_split(stored, 2, axis=2), scaling, hu, "scan")
    return hu, flags


def test_offset_scan_is_flagged_and_not_shifted():
    hu, flags = converted(np.arange(4000, dtype=np.int16).reshape(4, 10, 100))
    assert [(flag.code, flag.value) for flag in flags] == [(FlagCode.NO_NEGATIVE_VALUE, 0)]
    assert np.array_equal(hu, np.arange(4000).reshape(4, 10, 100))


def test_odd_values_are_set_and_flagged_in_whichever_part_they_are():
    stored = np.full((4, 4, 4), 40.0)
    stored[0, 0] = np.nan, -3000.0, 50000.0, np.inf
    hu, flags = converted(stored)
    assert hu[0, 0].tolist() == [-1024, -1024, 32767, -1024]
    assert [(flag.code, flag.value) for flag in flags] == [
        (FlagCode.LOW_VALUES_CLIPPED, -3000),
        (FlagCode.HIGH_VALUES_CLIPPED, 50000),
        (FlagCode.VOXELS_NOT_FINITE, 2),
    ]


def test_slope_and_intercept_go_beyond_the_stored_type():
    hu, flags = converted(np.array([0, 1, 200, 255], np.uint8).reshape(1, 1, 4), (10.0, -1000.0))
    assert (hu.ravel().tolist(), flags) == ([-1000, -990, 1000, 1550], ())


def test_unsigned_values_do_not_wrap_around():
    hu, flags = converted(np.array([0, 40000, 100, 65535], np.uint16).reshape(1, 1, 4))
    assert hu.ravel().tolist() == [0, 32767, 100, 32767]
    assert FlagCode.HIGH_VALUES_CLIPPED in {flag.code for flag in flags}


@pytest.mark.parametrize(
    ("stored", "scaling", "message"),
    [
        (np.full((4, 4, 4), 7, np.int16), (1.0, 0.0), "constant value 7"),
        (np.arange(64, dtype=np.int16).reshape(4, 4, 4) * 4, (1.0, 0.0), "8-bit"),
        (np.arange(64, dtype=np.int8).reshape(4, 4, 4) - 30, (1.0, 0.0), "8-bit"),
        (np.arange(64, dtype=np.int16).reshape(4, 4, 4) - 500, (1.0, 0.0), "from air to bone"),
        (np.arange(64, dtype=np.int16).reshape(4, 4, 4), (0.0, 1.0), "finite scaling"),
        (np.arange(64, dtype=np.int16).reshape(4, 4, 4), (np.nan, 1.0), "finite scaling"),
    ],
)
def test_what_cannot_be_a_ct_is_refused(stored, scaling, message):
    with pytest.raises(InputError, match=message):
        converted(stored, scaling)
