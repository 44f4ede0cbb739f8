"""A forked process that runs tests until one fails, within limits of time and memory."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

BROKEN = 70
"""The exit code of a process that did not come so far as to say anything of a test."""
MEMORY = 4 << 30
"""Bytes of memory that a process may have: an endless loop may fill a list."""
PATIENCE = 20
"""A test that takes so many times the processor time that it takes without a fault, and `AT_LEAST_S`, hangs."""
AT_LEAST_S = 5


class Ended(NamedTuple):
    """How a process ended: its exit code, below 0 for a signal, None if it was stopped; and the test it was in."""

    code: int | None
    test: str


class Child:
    """A forked process that carries out ``work(where)``, which writes to the file `where` in which test it is.

    It exits with what `work` returns; its output goes to `log`.
    """

    def __init__(self, work: Callable[[Path], int], log: Path) -> None:
        self._where = log.with_suffix(".test")
        self._where.write_text("")
        self._began = time.monotonic()
        sys.stdout.flush()
        self._pid = os.fork()
        if not self._pid:
            self._carry_out(work, log)
        self._group()

    def _group(self) -> None:
        """A group of processes of its own, made by whoever comes first."""
        with contextlib.suppress(OSError):
            os.setpgid(self._pid, self._pid)

    def _carry_out(self, work: Callable[[Path], int], log: Path) -> None:
        status = BROKEN
        try:
            self._group()
            with log.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            status = work(self._where)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def ended(self, limit_s: float) -> Ended | None:
        """How it has ended, None while it runs; after `limit_s` on the clock on the wall it is stopped."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid and time.monotonic() - self._began < limit_s:
            return None
        if not pid:
            self.kill()
        test = self._where.read_text()
        self._where.unlink()
        return Ended(os.waitstatus_to_exitcode(status) if pid else None, test)

    def kill(self) -> None:
        """End it, and what it has started."""
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


class FirstFailure:
    """A plugin of pytest: notes that a test has failed, and prints why."""

    def __init__(self) -> None:
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = True
            sys.stdout.write(f"{report.nodeid}\n{report.longreprtext}\n")


def run(
    items: Sequence[pytest.Item],
    seconds: Mapping[str, float],
    where: Path,
    around: Callable[[pytest.Item], None] = lambda item: None,
) -> int:
    """Run tests in order, each within its time; 1 at the first that fails, 0 if none does.

    `seconds` is how long each takes without a fault, `around` is called before each.
    """
    first = FirstFailure()
    for item, following in zip(items, [*items, None][1:], strict=True):
        if not item.config.pluginmanager.is_registered(first):
            item.config.pluginmanager.register(first)
        where.write_text(item.nodeid)
        around(item)
        signal.setitimer(signal.ITIMER_PROF, AT_LEAST_S + PATIENCE * seconds.get(item.nodeid, 1.0))
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if first.failed:
            return 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    return 0


class Loop:
    """A plugin of pytest that does `work` with the tests, once they are collected, instead of running them."""

    def __init__(self, work: Callable[[Sequence[pytest.Item]], int]) -> None:
        self.code = BROKEN
        self._work = work

    def pytest_configure(self) -> None:
        """What Hypothesis finds is neither shrunk nor kept."""
        import hypothesis

        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("faults", database=None, phases=phases)
        hypothesis.settings.load_profile("faults")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self.code = self._work(session.items)
        return True


def with_tests(files: Sequence[str], work: Callable[[Sequence[pytest.Item]], int]) -> int:
    """Collect tests, and return what `work` makes of them; `BROKEN` if they cannot be collected."""
    loop = Loop(work)
    pytest.main(["-s", "-q", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files], plugins=[loop])
    return loop.code
