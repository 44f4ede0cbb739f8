"""What the shell sees of the command `cosim`: signals end it with 130 at any moment, and no stream fails it.

Imports nothing that takes time: from `begin` on, Ctrl-C is answered, also while the rest is being imported.
"""

from __future__ import annotations

import io
import os
import signal
import sys

TYPE_CHECKING = False  # as in `typing`, of which the import alone takes milliseconds
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

INTERRUPTED = 130
UNWRITABLE = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What tells a process to stop. One exit code for both: whoever asks, what was measured until then is kept."""

_begun = False


class Stream(io.FileIO):
    """A standard stream that takes whatever it is given. What could not be written is told once, at the end.

    A reader that has gone, as `head` does, has seen what it wanted; that is no failure.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write as much as the file takes; all of it, if the file takes no more."""
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return len(memoryview(data).cast("B"))


def begin() -> None:
    """Answer signals from here on, and put streams that do not fail in place of the interpreter's own."""
    global _begun
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, and a script's background jobs, ignore some
            signal.signal(number, _told)
    _begun = True
    closed = sys.stdout is None
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # what is opened next must not become a standard stream
        pass
    os.close(free)
    sys.stdout = _stream(1, sys.stdout, "backslashreplace")
    sys.stderr = _stream(2, sys.stderr, "backslashreplace")
    if closed:
        say("standard output is closed: there is nowhere to put what was asked for")
        leave(UNWRITABLE)


def end(code: int) -> NoReturn:
    """End the process with `code`, or with that of an output that could not be written; signals come too late now."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    raw = sys.stdout.buffer.raw if isinstance(sys.stdout, io.TextIOWrapper) else None
    failure = getattr(raw, "failure", None)
    if failure is not None and not isinstance(failure, BrokenPipeError):
        say(f"standard output cannot be written: {failure.strerror or failure}")
        code = UNWRITABLE
    sys.exit(code)


def say(text: str) -> None:
    """Print a line to standard error, if there still is one."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def leave(code: int, words: str = "") -> NoReturn:
    """End the process here and now, whatever it is doing; nothing that is being done can stand in the way."""
    if not _begun:  # inside of another program
        raise KeyboardInterrupt(words) if code == INTERRUPTED else SystemExit(code)
    bars = os.isatty(2) and os.environ.get("TERM") not in ("dumb", "unknown")
    show_cursor = b"\x1b[?25h" if bars else b""  # a progress bar hides it
    try:
        os.write(2, show_cursor + (f"{words}\n".encode() if words else b""))
    finally:
        os._exit(code)


def _told(number: int, frame: FrameType | None) -> None:
    leave(INTERRUPTED, "interrupted")


def _stream(number: int, old: Any, errors: str) -> io.TextIOWrapper:
    if old is not None:
        old.flush()
    raw = Stream(number, "wb", closefd=False)
    encoding = getattr(old, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=os.isatty(number))
