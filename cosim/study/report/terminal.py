"""The console that reports are printed to: as wide as the terminal is, and with styles where they are wanted."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

from rich.console import Console, ConsoleDimensions


def console_on(file: TextIO | None = None) -> Console:
    """A console on `file`, standard output if not given.

    With `NO_COLOR` there are no styles at all, neither bold ones. A terminal that is dumb is as wide as others are.
    """
    plain = bool(os.environ.get("NO_COLOR"))
    found = Console(
        file=file or sys.stdout,
        color_system=None if plain else "auto",
        highlight=False,
        emoji=False,
        markup=False,
    )
    if found.is_dumb_terminal:
        found.size = ConsoleDimensions(*shutil.get_terminal_size())
    return found
