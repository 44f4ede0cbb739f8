"""Discrete-event co-simulation of the RISC-V IOMMU, its DMA masters and its Linux driver.

``cosim.load`` reads a topology, ``cosim.run`` runs it and gives a ``cosim.Result``; both take what the command line
takes, and raise ``cosim.TopologyError``, which names everything that is wrong, with its place. ``cosim.__version__``
and ``cosim.model_version`` are what results name: of the package, and of the source that determines them.
"""

from __future__ import annotations

import os.path

TYPE_CHECKING = False  # as in `typing`, whose import the command line would wait for
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from cosim.config.problems import TopologyError
    from cosim.study.explore.explore import Exploration
    from cosim.study.explore.request import Strategy
    from cosim.study.fit.fitted import Fitted
    from cosim.study.run.result import Result
    from cosim.study.sweep.from_python import Study
    from cosim.system.topology import Topology

    __version__: str
    model_version: str

__all__ = [
    "Exploration",
    "Fitted",
    "Result",
    "Study",
    "TopologyError",
    "__version__",
    "explore",
    "fit",
    "load",
    "model_version",
    "run",
    "sweep",
]


if os.path.isdir(os.path.join(__path__[0], "_compiled")):  # before any module that it may have
    from cosim import compiled

    compiled.install()


def __getattr__(name: str) -> Any:
    """The names whose import is not for nothing, when they are asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("cosim")
    if name == "model_version":
        from cosim.study.run.model import model_version

        return model_version()
    if name == "Result":
        from cosim.study.run.result import Result

        return Result
    if name == "Exploration":
        from cosim.study.explore.explore import Exploration

        return Exploration
    if name == "Fitted":
        from cosim.study.fit.fitted import Fitted

        return Fitted
    if name == "Study":
        from cosim.study.sweep.from_python import Study

        return Study
    if name == "TopologyError":
        from cosim.config.problems import TopologyError

        return TopologyError
    from cosim.units.nearest import nearest

    raise AttributeError(f"module 'cosim' has no attribute {name!r}; {nearest(name, __all__)}")


def load(
    topology: str | Path | Topology,
    *,
    set: Mapping[str, object] | None = None,
    sets: Iterable[str] = (),
    overlays: Iterable[str | Path] = (),
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
    **unknown: object,
) -> Topology:
    """The topology of a file, or of one that comes with cosim (``"quickstart"``), changed as said.

    `overlays` are files laid over it; `set` maps paths to values (``{"iommu0.geometry.iotlb_entries": 64}``; globs
    work), `sets` are texts ``PATH=VALUE``. Raises TopologyError.
    """
    from cosim.system.load import load as load_topology

    _settings("load", set)
    _known("load", unknown, ("set", "sets", "overlays", "driver", "seed", "until"))
    _meant("load", topology)
    sets, overlays = _several(sets), _several(overlays)
    return load_topology(topology, set=set, sets=sets, overlays=overlays, driver=driver, seed=seed, until=until)


def run(
    topology: str | Path | Topology,
    *,
    set: Mapping[str, object] | None = None,
    overlays: Iterable[str | Path] = (),
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
    schedule: Iterable[str] = (),
    trace: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    trace_from: str | None = None,
    trace_to: str | None = None,
    trace_parts: Iterable[str] = (),
    trace_events: Iterable[str] = (),
    slowest: int = 0,
    progress: bool = False,
    samples: bool = False,
    series: str | None = None,
    **unknown: object,
) -> Result:
    """Run a topology, changed as said, and return its `Result`; equal arguments give equal results in any process.

    `set` maps paths to values (``{"iommu0.geometry.iotlb_entries": 64}``; globs work). `trace` names a file, or
    several, in which to record what happened; the suffix is the format (``.jsonl``, ``.dmesg``, ``.pftrace``,
    ``.vcd``, ``.trace``), and `trace_from`, `trace_to` (times from reset, ``"110 us"``), `trace_parts` and
    `trace_events` (globs) say what of it. With `samples` the result holds every latency; with `series` (``"10 us"``)
    numbers for each step of that length; with `slowest` what so many of the slowest requests, and of the calls, waited
    for. Arguments and results can be pickled. Raises TopologyError. Ctrl-C ends a run early; its result holds what was
    measured until then, with the outcome ``interrupted``.
    """
    from os import fspath
    from pathlib import Path as FilePath

    from cosim.study.run.keep import Keep
    from cosim.study.run.run import Point, command_line
    from cosim.study.run.run import run as simulate
    from cosim.study.trace.trace import traced
    from cosim.units.quantities import parse_time

    _known("run", unknown, run.__kwdefaults__ or ())
    _meant("run", topology)
    if slowest < 0:
        raise ValueError(f"run() slowest: {slowest} is less than 0; it is how many of the slowest are looked at")
    sets = [f"{path}={value}" for path, value in _settings("run", set).items()]
    keep = Keep(samples, 0 if series is None else parse_time(series), slowest)
    chosen, overlays = _several(schedule), _several(overlays)
    changed = load(topology, set=set, overlays=overlays, driver=driver, seed=seed, until=until)
    name = FilePath(topology).stem if isinstance(topology, str | FilePath) else ""
    command = command_line(
        topology, sets=sets, overlays=overlays, driver=driver, seed=seed, until=until, schedule=chosen
    )
    point = Point(
        changed,
        name=name or "topology",
        schedule=chosen,
        command=command if name else "",
    )
    with traced(
        changed,
        traces=[fspath(file) for file in _several(trace)],
        trace_from=trace_from,
        trace_to=trace_to,
        trace_parts=_several(trace_parts),
        trace_events=_several(trace_events),
    ) as watchers:
        return simulate(point, watchers=watchers, progress=progress, keep=keep)


def sweep(
    topology: str | Path | Topology,
    axes: Mapping[str, object] | None = None,
    *,
    drivers: Iterable[str] = (),
    zip: Iterable[Iterable[str]] = (),
    where: str = "",
    sample: str | None = None,
    reps: int | None = None,
    ci: str | float | None = None,
    metrics: Iterable[str] = (),
    independent: bool = False,
    set: Mapping[str, object] | None = None,
    overlays: Iterable[str | Path] = (),
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
    file: str | Path | None = None,
    reuse: Iterable[str | Path] = (),
    jobs: int | None = None,
    cluster: str = "",
    host_limit: float = 600.0,
    retry: bool = False,
    **unknown: object,
) -> Study:
    """Run a topology at every point of the axes (``cosim sweep --help``): a `Study`, whose runs come as they end.

    ``cosim.sweep("quickstart", {"iommu0.geometry.walkers": [1, 2, 4], "gpu0.traffic.window": "64KiB..1MiB*4"})``. Axes
    are lists or texts. With a `file` results are kept there, and what is there is not run again. ``.to_frame()`` has a
    row for each run and number. Raises TopologyError. Ctrl-C ends it early, and what has ended is kept.
    `ci` is how narrow intervals have to be: ``"2%"``, or 0.02. `axes` and `set` replace a study's axes of their paths.
    `cluster` is the address of a Dask scheduler whose workers make the runs (docs/clusters.md).
    """
    from cosim.study.sweep.from_python import study

    _known("sweep", unknown, sweep.__kwdefaults__ or ())
    _meant("sweep", topology, jobs=jobs)
    return study(
        topology,
        _settings("sweep", axes, "axes", "[1, 2, 4]"),
        drivers=_several(drivers),
        zips=_several(zip),
        where=where,
        sample=sample,
        reps=reps,
        ci=ci,
        metrics=_several(metrics),
        independent=independent,
        sets=[*_settings("sweep", set).items()],
        overlays=_several(overlays),
        driver=driver,
        seed=seed,
        until=until,
        file=file,
        reuse=_several(reuse),
        jobs=jobs,
        cluster=cluster,
        host_limit=host_limit,
        retry=retry,
    )


def fit(
    topology: str | Path | Topology,
    data: str | Path,
    *,
    value: Mapping[str, str],
    at: Mapping[str, str],
    parameters: Mapping[str, str],
    rows: Mapping[str, object] | None = None,
    on: Mapping[str, object] | None = None,
    start: Mapping[str, str] | None = None,
    rough: str = "",
    reps: int = 1,
    set: Mapping[str, object] | None = None,
    overlays: Iterable[str | Path] = (),
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
    file: str | Path | None = None,
    jobs: int | None = None,
    **unknown: object,
) -> Fitted:
    """Find the values of `parameters` at which a topology measures what a CSV says (``cosim fit --help``).

    ``cosim.fit("quickstart", "measured.csv", value={"gpu0.read.mean_ps": "avg_ns ns"},
    at={"gpu0.traffic.window": "window_kb KiB"}, parameters={"dram0.latency": "50 ns..400 ns"},
    on={"window_kb": [64, 512]})`` fits on two windows and predicts the others: `Fitted` has `values`, `points` and
    `worst`. Runs are kept in `file`, and what is there is not run again. Raises TopologyError, and KeyboardInterrupt.
    """
    from cosim.study.fit.from_python import fitted

    _known("fit", unknown, fit.__kwdefaults__ or ())
    _meant("fit", topology, jobs=jobs)
    return fitted(
        topology,
        data,
        {"value": value, "at": at, "parameters": parameters, "rows": rows or {}, "on": on or {}, "start": start or {}},
        sets=[f"{path}={value}" for path, value in _settings("fit", set).items()],
        overlays=overlays,
        driver=driver,
        seed=seed,
        until=until,
        file=file,
        rough=rough,
        reps=reps,
        jobs=jobs,
    )


def explore(
    topology: str | Path | Topology,
    *more: str | Path | Topology,
    drivers: Iterable[str] = (),
    strategy: Strategy = "bounded",
    deviations: int | None = None,
    holds: Iterable[str] | None = None,
    starts: Mapping[str, Iterable[str]] | None = None,
    one_cell: bool = False,
    schedules: int | None = None,
    seconds: float = float("inf"),
    jobs: int | None = None,
    cluster: str = "",
    skip_equal: bool = False,
    allocations: bool = False,
    go_on: bool = False,
    mutants: bool = False,
    shrink: bool = True,
    seed: int | None = None,
    set: Mapping[str, object] | None = None,
    overlays: Iterable[str | Path] = (),
    until: str | None = None,
    host_limit: float = 60.0,
    folder: str | Path | None = None,
    resume: bool = False,
    **unknown: object,
) -> Exploration:
    """Search topologies over schedules, holds and starts (``cosim explore --help``), and return what came out.

    Times are texts: ``holds=["2 us", "5 us"], starts={"cpu1.attach": ["0 ns", "2 us"]}``. With a `folder` findings and
    a journal are written there, by which a search that was interrupted goes on with `resume`. Ctrl-C ends it early;
    the last row then says so. `seconds`, and `schedules`, are for each row, and a run may take `host_limit` seconds of
    this computer. `cluster` is the address of a Dask scheduler whose workers make the runs. Raises TopologyError.
    """
    from pathlib import Path as FilePath

    from cosim.study.explore.explore import SIGNALS, Exploration, explorations
    from cosim.study.explore.request import Request
    from cosim.study.run.stop import Stop
    from cosim.units.quantities import parse_time

    _known("explore", unknown, explore.__kwdefaults__ or ())
    _meant("explore", topology, *more, jobs=jobs)
    request = Request(
        strategy=strategy,
        deviations=deviations,
        holds=None if holds is None else tuple(map(parse_time, holds)),
        starts=None if starts is None else {name: tuple(map(parse_time, times)) for name, times in starts.items()},
        schedules=schedules,
        seconds=seconds,
        jobs=jobs,
        cluster=cluster,
        first_cell=one_cell,
        skip_equal=skip_equal,
        allocations=allocations,
        seed=seed or 0,
        go_on=go_on,
        mutants=mutants,
        shrink=shrink,
        host_limit=host_limit,
        drivers=_several(drivers),
    )
    stop = Stop()
    with stop.listening(SIGNALS):
        rows = explorations(
            [topology, *more],
            request,
            sets=[f"{path}={value}" for path, value in _settings("explore", set).items()],
            overlays=[str(overlay) for overlay in _several(overlays)],
            seed=seed,
            until=until,
            folder=None if folder is None else FilePath(folder),
            resume=resume,
            stop=stop,
        )
        return Exploration(list(rows))


def _several(given: Any) -> tuple[Any, ...]:
    """What was given where several are asked for: a text or a path by itself is one of them, and not its letters."""
    return (given,) if isinstance(given, str) or hasattr(given, "__fspath__") else tuple(given)


def _settings(function: str, given: Any, argument: str = "set", value: str = "4") -> Mapping[str, object]:
    """What `set`, or another argument of such a form, says. TypeError if it is no mapping."""
    if given is not None and not hasattr(given, "items"):
        kind, right = type(given).__name__, f"{{'iommu0.geometry.walkers': {value}}}"
        raise TypeError(f"{function}() {argument}: a {kind} maps no paths to values; write {right}")
    return given or {}


def _meant(function: str, *topologies: object, jobs: int | None = 1) -> None:
    """Refuse what is no topology, and a number of processes that is none. TypeError."""
    for given in topologies:
        if not isinstance(given, str) and not any(hasattr(given, name) for name in ("__fspath__", "model_dump")):
            kind, right = type(given).__name__, "write a file, a name such as 'quickstart', or what cosim.load() gives"
            raise TypeError(f"{function}(): {kind} is no topology; {right}")
    if jobs is not None and jobs < 1:
        raise TypeError(f"{function}() jobs: {jobs} is no number of processes; there is 1 at least")


def _known(function: str, unknown: Mapping[str, object], known: Iterable[str]) -> None:
    """Refuse arguments that do not exist. TypeError, with the nearest that does."""
    for name in unknown:
        from cosim.units.nearest import nearest

        raise TypeError(f"{function}() has no argument {name!r}; {nearest(name, known)}")
