"""The connection to a Dask cluster: its workers are looked at before anything is asked of them."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.pool.asked import Wanted
from cosim.study.pool.cluster.crew import DaskCrew
from cosim.study.pool.cluster.remote import Identity, identity
from cosim.study.results.extras import needed

CONNECT_S = 5
"""How long a scheduler may take to answer."""
WORKERS_S = 20
"""How long a cluster may have no worker at first."""
ANSWER_S = 60
"""How long its workers may take to say who they are: they import cosim for it."""
MOST_FRAMES = 1 << 16
"""Parts that no message has."""
LOOK_S = 5
"""So often it is looked how many workers there are."""


class Cluster:
    """*Open* from the beginning until `close`; a `Place`. Raises TopologyError if there is no cluster of ours there.

    `address` is that of the scheduler. A cluster of which one worker has another model or another Python is refused as
    a whole, since nothing says which worker a run would come to.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        distributed = needed("distributed", f"--cluster {address}")
        try:
            _speaks_first(distributed, address)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions that differ: what matters is looked at below
                self.client: Any = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise self.problem(f"nobody answers there as a Dask scheduler does ({_brief(error)})") from None
        self._jobs = 0
        self._looked = -float("inf")
        try:
            self._look_at_workers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; what it had not ended is dropped there."""
        self.client.close(timeout=CONNECT_S)

    def crew(self, wanted: Wanted, jobs: int | None) -> DaskCrew:
        """What makes runs there."""
        return DaskCrew(self, wanted, jobs)

    @property
    def jobs(self) -> int:
        """How many threads its workers have, at least 1."""
        if time.monotonic() > self._looked + LOOK_S:
            self._looked = time.monotonic()
            try:
                self._jobs = sum(self.client.nthreads().values())
            except OSError as error:
                raise self.gone(error) from None
        return max(1, self._jobs)

    @property
    def lost(self) -> bool:
        """Whether the scheduler does not answer any more."""
        return bool(self.client.status != "running")

    def call(
        self, function: Callable[..., Any], *args: Any, wait: bool = True, within_s: float = CONNECT_S
    ) -> dict[str, Any]:
        """Call a function on every worker: what came of it by their addresses, an exception for one that failed."""

        import asyncio  # as all that a cluster alone needs

        async def called() -> Any:
            calling = self.client.run(function, *args, wait=wait, on_error="return")
            return await asyncio.wait_for(calling, within_s)

        return dict(self.client.sync(called) or {})

    def problem(self, *whats: str) -> TopologyError:
        """What is told of this cluster, a line each."""
        position = Position(f"--cluster {self.address}")
        return TopologyError([Problem(position, (), what) for what in whats])

    def gone(self, error: object) -> TopologyError:
        """What is told if it goes away meanwhile."""
        return self.problem(f"the scheduler has gone ({error}); what has ended is kept, and the same command goes on")

    def _look_at_workers(self) -> None:
        here = identity()
        try:
            self.client.wait_for_workers(1, timeout=WORKERS_S)
            found = self.call(identity, within_s=ANSWER_S)
        except TimeoutError:
            start = f"start one with: dask worker {self.address}"
            raise self.problem(f"no worker of this cluster answers; {start}") from None
        except OSError as error:
            raise self.gone(error) from None
        wrong = [
            f"its worker {worker} {refusal}"
            for worker, one in sorted(found.items())
            if (refusal := one.refusal(here) if isinstance(one, Identity) else cannot_run(one, here))
        ]
        if wrong:
            raise self.problem(*wrong)


def _speaks_first(distributed: Any, address: str) -> None:
    """TimeoutError or ValueError unless whoever listens at a TCP address begins as a scheduler does, unasked.

    The length of its first message, in 8 bytes. A client waits for ever for one that a stranger seems to announce.
    """
    scheme, rest = distributed.comm.parse_address(address)
    if scheme != "tcp":
        return
    host, port = distributed.comm.addressing.parse_host_port(rest)
    with socket.create_connection((host, port), CONNECT_S) as peer:
        head = peer.recv(8, socket.MSG_WAITALL)
    if len(head) < 8 or int.from_bytes(head, "little") > MOST_FRAMES:
        raise ValueError(f"it says {head!r}")


def cannot_run(error: object, here: Identity) -> str:
    """Why a worker is refused that cannot say who it is."""
    return f"cannot run cosim ({error}); install there what is here, cosim {here.cosim} with model {here.model}"


def _brief(error: BaseException) -> str:
    """The first line of an error, without a full stop."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
