"""The content of a gzip file in large pieces, by ISA-L, which takes a third of zlib's time."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from isal import isal_zlib

#: Compressed bytes read at a time, and most bytes that come of them at a time.
_READ, _PIECE = 2**18, 2**22
#: zlib's, and ISA-L's, name for the gzip format, header and checksum included.
GZIP_FORMAT = 31


def inflated(file: BinaryIO) -> Iterator[bytes]:
    """Pieces of all members of a gzip file; zeros may follow them, as tapes leave.

    zlib.error where it is damaged or a checksum differs; EOFError where it is cut off.
    """
    try:
        yield from _members(file)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stub has no class
        raise zlib.error(str(error)) from error


def _members(file: BinaryIO) -> Iterator[bytes]:
    rest = file.read(_READ)
    while rest:
        member = isal_zlib.decompressobj(GZIP_FORMAT)
        while not member.eof:
            piece = member.decompress(rest, _PIECE)
            if piece:
                yield piece
            rest = member.unconsumed_tail or (b"" if member.eof else file.read(_READ))
            if not rest and not piece and not member.eof:
                raise EOFError("compressed file ended before its end was marked")
        rest = _without_zeros(member.unused_data, file)


def _without_zeros(rest: bytes, file: BinaryIO) -> bytes:
    """What follows a member, from its first byte that is not zero."""
    while True:
        rest = rest.lstrip(b"\0") or file.read(_READ)
        if not rest or rest[0]:
            return rest
