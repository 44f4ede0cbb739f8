"""The command line on a terminal of its own, which is not a pipe."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress
from pathlib import Path


def shown_on_a_terminal(words: list[str], directory: Path) -> str:
    """All that `cosim` with these words shows on a terminal, run in `directory`; its exit code has to be 0."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(directory)
        os.execv(sys.executable, [sys.executable, "-m", "cosim", *words])
    shown = b""
    with suppress(OSError):  # the terminal is gone with its process
        while more := os.read(terminal, 1 << 16):
            shown += more
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return shown.decode()
