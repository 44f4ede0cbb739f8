"""How far a process that a test has started has come, by the time that it has had a processor."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path


def wait_for(process: subprocess.Popen[str], seconds: float) -> None:
    """Return once `process` has had a processor for `seconds`, or has ended; where nothing tells, after that time."""
    told = Path(f"/proc/{process.pid}/stat")
    if not told.exists():
        time.sleep(seconds)
        return
    ticks = seconds * os.sysconf("SC_CLK_TCK")
    while process.poll() is None:
        user, system = told.read_text().rpartition(")")[2].split()[11:13]
        if int(user) + int(system) >= ticks:
            return
        time.sleep(0.01)
