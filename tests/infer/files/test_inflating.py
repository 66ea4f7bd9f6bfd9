import gzip
import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verse_infer.files.nifti import inflated

NOISE = np.random.default_rng(0).integers(0, 40, 3 * 2**20).astype(np.uint8).tobytes()


def content(raw):
    return b"".join(inflated(io.BytesIO(raw)))


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(0, 5))
def test_all_members_are_read_as_pythons_reader_does(parts, zeros):
    raw = b"".join(map(gzip.compress, parts)) + bytes(zeros if parts else 0)
    assert content(raw) == gzip.decompress(raw) == b"".join(parts)


@pytest.mark.parametrize("plain", [NOISE, bytes(2**25), b""])
def test_large_and_very_compressible_content_comes_in_pieces(plain):
    pieces = list(inflated(io.BytesIO(gzip.compress(plain, 1))))
    assert b"".join(pieces) == plain
    assert all(len(piece) <= 2**22 for piece in pieces)


def test_many_zeros_may_follow():
    raw = gzip.compress(NOISE, 1)
    assert content(raw + bytes(2**20) + raw) == NOISE + NOISE


@pytest.mark.parametrize("kept", [5, 1000, -1, -5])
def test_a_file_that_is_cut_off_is_no_whole_file(kept):
    with pytest.raises(EOFError):
        content(gzip.compress(NOISE, 1)[:kept])


@pytest.mark.parametrize("place", [0, 5000, -2, -6])
def test_damage_is_seen_by_the_checksum(place):
    raw = bytearray(gzip.compress(NOISE, 1))
    raw[place] ^= 0xFF
    with pytest.raises(zlib.error):
        content(bytes(raw))


def test_foreign_bytes_after_the_end_are_an_error():
    with pytest.raises(zlib.error):
        content(gzip.compress(b"a") + b"something else")
