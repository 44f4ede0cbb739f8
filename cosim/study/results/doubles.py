"""Numbers of a run as doubles in a row of bytes, which are read without being parsed."""

from __future__ import annotations

import struct
from collections.abc import Sequence

SIZE = 8


def packed_of(numbers: Sequence[float]) -> bytes:
    """The numbers, little-endian."""
    return struct.pack(f"<{len(numbers)}d", *numbers)


def one_of(packed: bytes, place: int) -> float:
    """The number at a place."""
    value: float = struct.unpack_from("<d", packed, SIZE * place)[0]
    return value
