"""Runs on a Dask cluster are those made here, to the byte; whatever dies meanwhile costs no more than its chunk.

The cluster is real: a scheduler and two workers, processes of their own on the loopback interface.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.study.pool import Pool
from cosim.study.pool.asked import Wanted
from cosim.study.pool.cluster import cluster as cluster_module
from cosim.study.pool.cluster.cluster import Cluster, cannot_run
from cosim.study.pool.cluster.remote import Identity, Job, RefusedError, identity, made
from cosim.study.results import extras
from cosim.study.run.run import Point, UnderWay
from tests.study.pool.systems import TINY, loaded, numbered

DEADLINE_S = 120
ROOT = Path(cosim.__file__).parents[1]


class Running:
    """A scheduler, which listens already, and its workers; they are ended by their ids."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self._folder = folder
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port))
        self.workers: list[subprocess.Popen[bytes]] = []
        with socket.socket() as asks:
            until(lambda: asks.connect_ex(("127.0.0.1", port)) == 0)

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        """One worker more, of one thread."""
        asked = ("worker", self.address, "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
        self.workers.append(self._start(*asked, **environment))
        return self.workers[-1]

    def end(self) -> None:
        """All processes, and the thread that Dask leaves in this one, beside which other tests could not fork."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        from distributed import Future

        called_back, Future._cb_executor = Future._cb_executor, None
        if called_back is not None:
            called_back.shutdown()

    def _start(self, what: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{what}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments, "--no-dashboard"],
                cwd=self._folder,
                env={**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "false", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A scheduler without workers."""
    found = Running(tmp_path)
    yield found
    found.end()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    found = Running(tmp_path_factory.mktemp("cluster"))
    found.worker()
    found.worker()
    yield found.address
    found.end()


def until(met: Callable[[], bool]) -> None:
    """Wait for it; a failure after a time in which nothing can be that slow."""
    last = time.monotonic() + DEADLINE_S
    while not met():
        assert time.monotonic() < last
        time.sleep(0.05)


def helpers_of(pid: int) -> list[int]:
    """The processes that a worker has started."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def is_there(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a results file says of the runs, without when and where they were made."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as results:
        return {
            "runs": results.execute(
                "SELECT id, point, replication, seed, model, outcome, reason, digest, numbers FROM runs ORDER BY id"
            ).fetchall(),
            "histograms": results.execute("SELECT * FROM histograms ORDER BY run, name").fetchall(),
            "points": results.execute("SELECT * FROM points ORDER BY id").fetchall(),
        }


AXES = {"dev0.traffic.size": ["64 B", "256 B"], "dram0.latency": "40 ns..80 ns:20 ns"}
REPS = 4
"""So many that they share their boot."""


def tiny(folder: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("reps", [1, REPS], ids=["alone", "boot-shared"])
def test_results_are_those_of_processes_here_to_the_byte(cluster: str, tmp_path: Path, reps: int) -> None:
    here, there = tmp_path / "here.sqlite", tmp_path / "there.sqlite"
    assert cosim.sweep(tiny(tmp_path), AXES, reps=reps, jobs=1, file=here).made == 6 * reps
    assert cosim.sweep(tiny(tmp_path), AXES, reps=reps, cluster=cluster, file=there).made == 6 * reps
    assert rows(here) == rows(there)
    assert len(rows(here)["runs"]) == 6 * reps


@pytest.mark.slow
def test_a_search_finds_there_what_it_finds_here(cluster: str) -> None:
    def row(**where: object) -> object:
        found = cosim.explore("concurrent_attach", drivers=["v2"], one_cell=True, shrink=False, **where)  # type: ignore[arg-type]
        return {name: value for name, value in found.rows[0].as_json().items() if name != "seconds"}

    assert row(jobs=1) == row(cluster=cluster)


def dies(point: Point) -> None:
    if point.name == "bad":
        os._exit(7)


def dying(run: UnderWay) -> Callable[[], None]:
    dies(run.point)
    return lambda: None


@pytest.mark.slow
def test_a_run_that_takes_its_process_with_it_costs_no_worker(cluster: str, tmp_path: Path) -> None:
    topology = loaded(tmp_path, TINY)
    points = [*numbered(topology, 3), Point(topology, name="bad"), *numbered(topology, 2)]
    with Cluster(cluster) as place:
        before = place.client.nthreads()
        with Pool(place=place, also=dying) as pool:
            found = list(pool.runs(points))
        assert place.client.nthreads() == before
    assert [record.outcome for _, record in found] == ["ok", "ok", "ok", "lost", "ok", "ok"]
    assert "ended with 7" in found[3][1].failures[0]


LONG = TINY.replace("requests: 2", "requests: 100000, pattern: random, interval: 20 ns").replace("20 us", "100 us")


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_sweep_costs_its_chunk_and_nothing_is_lost_or_doubled(
    running: Running, tmp_path: Path
) -> None:
    first, second = running.worker(), running.worker()
    path = tmp_path / "long.yaml"
    path.write_text(LONG, encoding="utf-8")
    axes = {"dram0.latency": [f"{ns} ns" for ns in range(40, 80)]}
    file = tmp_path / "study.sqlite"
    orphans: list[int] = []
    killed = False
    for done, run in enumerate(cosim.sweep(path, axes, cluster=running.address, file=file)):
        assert run.outcome == "ok"
        if done >= 3 and not killed:
            until(lambda: bool(helpers_of(first.pid)))
            orphans = helpers_of(first.pid)
            first.send_signal(signal.SIGKILL)
            first.wait()
            killed = True
    assert killed
    assert second.poll() is None
    until(lambda: not any(map(is_there, orphans)))
    here = tmp_path / "here.sqlite"
    assert cosim.sweep(path, axes, file=here).made == 40
    assert rows(file) == rows(here)


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and what they start does, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_keeps_what_has_ended_and_the_rest_is_dropped_there(running: Running, tmp_path: Path) -> None:
    worker = running.worker()
    path = tmp_path / "long.yaml"
    path.write_text(LONG, encoding="utf-8")
    file = tmp_path / "study.sqlite"
    asked = [*(sys.executable, "-m", "cosim", "sweep", str(path), "-x", "dram0.latency=1 ns..400 ns:1 ns")]
    command = [*asked, "-q", "-o", str(file)]
    begun = subprocess.Popen(
        command, env={**os.environ, "DASK_SCHEDULER_ADDRESS": running.address}, stderr=subprocess.PIPE, cwd=ROOT
    )
    until(lambda: file.exists() and len(_runs(file)) > 2)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=DEADLINE_S)
    assert begun.returncode == 130
    assert b"what has ended is in" in said
    kept = _runs(file)
    assert 2 < len(kept) < 400
    until(lambda: not helpers_of(worker.pid))
    assert worker.poll() is None
    assert _runs(file) == kept


def _runs(file: Path) -> list[tuple[object, ...]]:
    with suppress(sqlite3.Error):
        return rows(file)["runs"]
    return []


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_told_and_what_has_ended_is_kept(running: Running, tmp_path: Path) -> None:
    running.worker()
    path = tmp_path / "long.yaml"
    path.write_text(LONG, encoding="utf-8")
    file = tmp_path / "study.sqlite"
    axes = {"dram0.latency": "1 ns..400 ns:1 ns"}
    kept = []

    def goes_on() -> None:
        for run in cosim.sweep(path, axes, cluster=running.address, file=file):
            kept.append(run.id)
            running.scheduler.kill()

    with pytest.raises(TopologyError, match=r"the scheduler has gone .*; what has ended is kept, and the same command"):
        goes_on()
    assert kept
    assert {row[0] for row in _runs(file)} >= set(kept)


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_with_another_model_is_refused_by_its_address_before_anything_is_written(
    running: Running, tmp_path: Path
) -> None:
    other = tmp_path / "site" / "cosim"
    other.parent.mkdir()
    subprocess.run(["cp", "-r", str(ROOT / "cosim"), str(other)], check=True)
    with (other / "study" / "run" / "run.py").open("a") as file:
        file.write("# another model\n")
    running.worker()
    running.worker(PYTHONPATH=str(other.parent))
    from distributed import Client  # whose import takes a second

    with Client(running.address, set_as_default=False) as client:
        client.wait_for_workers(2)
    file = tmp_path / "study.sqlite"
    with pytest.raises(TopologyError) as caught:
        cosim.sweep(tiny(tmp_path), AXES, cluster=running.address, file=file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"--cluster {running.address}: its worker tcp://127.0.0.1:")
    assert "has another model, " in line
    assert f"in {other}), and here it is {identity().model}" in line
    assert line.endswith("install there what is here")
    assert not file.exists()


def test_who_runs_another_python_or_model_is_told_what_to_start_or_install() -> None:
    here = Identity("0123", "CPython 3.11", "0.1.0", "/here")
    assert not Identity("0123", "CPython 3.11", "0.1.0", "/there").refusal(here)
    python = Identity("0123", "CPython 3.13", "0.1.0", "/there").refusal(here)
    assert python == "runs CPython 3.13, and here it is CPython 3.11; start it with CPython 3.11"
    assert Identity("4567", "CPython 3.11", "0.1.1", "/there").refusal(here) == (
        "has another model, 4567 (cosim 0.1.1 in /there), and here it is 0123 (cosim 0.1.0 in /here); "
        "install there what is here"
    )
    assert cannot_run("No module named 'cosim'", here) == (
        "cannot run cosim (No module named 'cosim'); install there what is here, cosim 0.1.0 with model 0123"
    )


def test_a_worker_that_came_later_refuses_a_chunk_of_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = SimpleNamespace(address="tcp://w:1")
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(get_worker=lambda: worker))
    asker = Identity("4567", identity().python, "0.1.0", "/there")
    with pytest.raises(RefusedError, match=r"^tcp://w:1 has another model"):
        made(Job("crew", asker, Wanted(), None, []))


def unreachable() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["sweep", "explore"])
def test_an_address_at_which_nobody_answers_is_told_and_nothing_is_overwritten(verb: str, tmp_path: Path) -> None:
    address, out = unreachable(), tmp_path / "out"
    asked = {
        "sweep": ["sweep", "quickstart", "-x", "iommu0.geometry.walkers=1,2", "-q"],
        "explore": ["explore", "concurrent_attach", "-q"],
    }[verb]
    done = subprocess.run(
        [sys.executable, "-m", "cosim", *asked, "--cluster", address, "-o", str(out)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"--cluster {address}: nobody answers there as a Dask scheduler does (")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"abc"])
def test_a_stranger_at_an_address_is_told(greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of Dask would wait for ever for the message whose length it takes the greeting for."""
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.2)
    told = threading.Event()

    def listen(server: socket.socket) -> None:
        with server.accept()[0] as peer:
            peer.sendall(greeting)
            told.wait()

    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = threading.Thread(target=listen, args=[server])
        listening.start()
        with pytest.raises(TopologyError, match="nobody answers there as a Dask scheduler does"):
            Cluster(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        told.set()
        listening.join()


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="--cluster nobody: nobody answers there as a Dask scheduler does"):
        cosim.sweep(tiny(tmp_path), AXES, cluster="nobody")


def test_without_the_extra_a_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(extras.importlib, "import_module", absent)
    file = tmp_path / "study.sqlite"
    with pytest.raises(TopologyError) as caught:
        cosim.sweep(tiny(tmp_path), AXES, cluster="tcp://127.0.0.1:8786", file=file)
    assert str(caught.value) == (
        "--cluster tcp://127.0.0.1:8786: needs distributed, which is not installed; it comes with an extra: "
        "pip install 'cosim[cluster]'"
    )
    assert not file.exists()


@pytest.mark.slow
def test_a_sweep_here_does_not_import_what_a_cluster_needs(tmp_path: Path) -> None:
    program = f"import cosim, sys; cosim.sweep({str(tiny(tmp_path))!r}, {{'dram0.latency': ['40 ns']}}, jobs=1).runs"
    program += "; sys.exit('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=DEADLINE_S).returncode == 0
