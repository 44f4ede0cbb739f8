"""Messages over a pipe: the length in 4 bytes, a number in 4, and so many bytes."""

from __future__ import annotations

import os
from struct import Struct

HEAD = Struct("<II")
_AT_ONCE = 1 << 20

Message = tuple[int, bytes]


def put(fd: int, number: int, data: bytes) -> None:
    """Write a message. BrokenPipeError if nobody reads any more."""
    left = memoryview(HEAD.pack(len(data), number) + data)
    while left:
        left = left[os.write(fd, left) :]


class Frames:
    """What has come over a pipe so far, as messages."""

    __slots__ = ("_come", "_fd", "ended")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._come = bytearray()
        self.ended = False
        """Whether the other end is closed."""

    def read(self) -> None:
        """Take in what is there, and wait if there is nothing."""
        more = os.read(self._fd, _AT_ONCE)
        self._come += more
        self.ended = not more

    def take(self) -> list[Message]:
        """Every message that is complete; what is not stays for later."""
        come, begin = self._come, 0
        found = []
        while begin + HEAD.size <= len(come):
            size, number = HEAD.unpack_from(come, begin)
            end = begin + HEAD.size + size
            if end > len(come):
                break
            found.append((number, bytes(come[begin + HEAD.size : end])))
            begin = end
        del come[:begin]
        return found

    def wait(self) -> list[Message]:
        """At least one message; none if the other end is closed before one is complete."""
        while not (found := self.take()) and not self.ended:
            self.read()
        return found
