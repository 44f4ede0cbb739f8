"""The file of a trace: written to until that fails, which is told at the end and stops no run."""

from __future__ import annotations

from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError


def refused(path: str, why: str) -> TopologyError:
    """What is wrong with a trace, or with its file."""
    return TopologyError([Problem(Position(f"-t {path}"), (), why)])


class TraceFile:
    """A file that takes text (UTF-8) or bytes; `failure` is why it ended. TopologyError if it cannot be opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.failure: TopologyError | None = None
        try:
            self._file = Path(path).open("wb")  # noqa: SIM115 - `close` closes it, and keeps what fails there
        except OSError as error:
            raise self._unwritable(error) from None

    def write(self, text: str) -> int:
        """Add text; how many characters it has."""
        self.put(text.encode())
        return len(text)

    def put(self, data: bytes) -> None:
        """Add bytes."""
        if self.failure is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.failure = self._unwritable(error)

    def flush(self) -> None:
        """Nothing waits for a flush: what is left is written by `close`."""

    def close(self) -> None:
        """Write what is left."""
        try:
            self._file.close()
        except OSError as error:
            self.failure = self.failure or self._unwritable(error)

    def _unwritable(self, error: OSError) -> TopologyError:
        return refused(self.path, f"cannot be written: {error.strerror or error}")
