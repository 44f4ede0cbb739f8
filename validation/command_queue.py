"""A locked command queue against the number of CPUs that map and unmap."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from cosim.study.results.extras import needed
from cosim.system.topology import Topology
from validation.runs import Runs
from validation.target import Outcome, Row, Table, Target

MEASURED_K = {2: 481.0, 4: 406.0, 8: 305.0, 16: 190.0, 32: 81.0, 64: 30.0, 96: 18.7}
"""Thousand rounds a second of each CPU, with the tickets of atomic additions."""
MORE_US = {2: 2000, 4: 1000, 8: 400, 16: 200, 32: 120, 64: 100, 96: 100}
"""How long is measured, so that there are a thousand rounds or so."""
READ = "200 ns"
"""With a hop each way and memory a read of commands then takes 290 ns: as long as a read of a table takes an IOMMU that
was measured, from 229 to 298 ns (pcie-bench, above)."""
DOORBELL = "80 ns"
"""Of 20, 40, 60, 80 and 100 ns the one with which 32 CPUs are nearest, once lines of another node take longer."""
NODE = 24
"""CPUs of a die of a Kunpeng 920, which is a NUMA node."""
ON = (2, 16)
CHOSEN_ON = 32
REMOTE_ON = 64
RATES = "*.map-unmap.unmap.per_s"
NEAR, FAR = "no cost of lines", "lines of another node take longer"
BETWEEN = (4, 8)
LAW = "each round lasts as long as one alone, and as much longer for each other CPU"
CLOSED_FORMS = (
    ("one place, the same time each time", (14.1, 19.7)),
    ("three places in a row, the same", (15.0, 21.8)),
    ("one place, exponential times", (11.2, 14.6)),
    ("two places in a row, the same", (4.0, 4.9)),
    ("three places in a row, the same", (1.8, 1.6)),
    ("one place that takes all who wait together: 200 ns, and a time for each", (8.5, 7.1)),
    ("the same, as long as two of them, and a time for each", (-0.8, -1.3)),
    ("a place that rings for all who wait together, 200 ns, and behind it one, the same time each time", (14.0, 21.1)),
)
"""Closed loops with exponential think times, some thousand rounds: errors in % at 4 and 8 CPUs."""


def system(cpus: int, gap_ns: float, each_ns: float, remote_ns: float = 0.0) -> Topology:
    """CPUs that map and unmap a page each, think, and so on; the think time is drawn. A command takes `each_ns`."""
    timing = {"mmio_arrival": DOORBELL, "line_remote": f"{remote_ns:.3f} ns", "switch": "0"}
    loop: dict[str, Any] = {"does": "map-unmap", "domain": "nic0", "free": False, "gaps": "exponential"}
    data = {
        "parts": {
            "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "256 MiB", "ports": 8},
            "iommu0": {
                "kind": "iommu",
                "base": 0x0300_0000,
                "geometry": {"cq_log2": 10, "fq_log2": 6, "command_burst": 64},
                "timing": {"command_start": READ, **dict.fromkeys(("invalidate_entry", "fence"), f"{each_ns:.3f} ns")},
            },
            "nic0": {"kind": "dma", "through": "iommu0", "traffic": {"pattern": "none"}},
            **{f"cpu{n}": {"kind": "cpu", "node": n // NODE, "timing": timing} for n in range(cpus)},
        },
        "threads": [{"on": f"cpu{n}", "start": f"{37 * n} ns", "gap": f"{gap_ns:.3f} ns", **loop} for n in range(cpus)],
        "run": {"warmup": "20 us", "until": f"{20 + MORE_US[cpus]} us"},
    }
    return Topology.model_validate(data)


def rates(runs: Runs, counts: Sequence[int], gap_ns: float, each_ns: float, remote_ns: float = 0.0) -> list[float]:
    """Thousand rounds a second of each CPU, for each number of CPUs."""
    found = []
    for cpus in counts:
        (estimate,) = runs.at(system(cpus, gap_ns, each_ns, remote_ns), [{}], [RATES])
        found.append(sum(mean.value for mean in estimate.means.values()) / cpus / 1000)
    return found


def run(runs: Runs) -> Outcome:
    """Without a cost of cache lines, then with one of those from another node."""
    gap, each = _calibrated(runs)
    remote = _remote(runs, gap, each)
    rows = []
    for series, remote_ns, on in ((NEAR, 0.0, ON), (FAR, remote, (*ON, CHOSEN_ON, REMOTE_ON))):
        for cpus, found in zip(MEASURED_K, rates(runs, list(MEASURED_K), gap, each, remote_ns), strict=True):
            rows.append(Row(series, f"{cpus} CPUs", MEASURED_K[cpus], found, cpus in on))
    both = {"threads.*.gap": f"{gap:.0f} ns", "iommu0.timing.invalidate_entry, fence": f"{each:.1f} ns"}
    parameters = {
        NEAR: {**both, "cpu*.timing.line_remote": "0"},
        FAR: {**both, "cpu*.timing.line_remote": f"{remote:.1f} ns"},
    }
    return Outcome(rows, "K rounds/s a CPU", parameters, [_closed_forms()])


def _closed_forms() -> Table:
    """What laws of two parameters say of 4 and 8 CPUs, calibrated on 2 and 16 as well."""
    first, last = (1000 / MEASURED_K[cpus] for cpus in ON)
    each_us = (last - first) / (ON[1] - ON[0])
    line = [100 * (1000 / (first + each_us * (cpus - ON[0])) / MEASURED_K[cpus] - 1) for cpus in BETWEEN]
    rows = [(name, *(f"{error:+.1f}" for error in errors)) for name, errors in (*CLOSED_FORMS, (LAW, line))]
    return Table("What was tried in closed form", ("error in %", *(f"{cpus} CPUs" for cpus in BETWEEN)), rows)


def _calibrated(runs: Runs) -> tuple[float, float]:
    """Think time and the time of a command, from 2 and 16 CPUs."""
    optimize = needed("scipy.optimize", "validation")

    def errors(logs: Sequence[float]) -> list[float]:
        gap, each = (1000 * 2 ** float(log2) for log2 in logs)
        found = rates(runs, ON, gap, each)
        return [log(rate / MEASURED_K[cpus]) for cpus, rate in zip(ON, found, strict=True)]

    best = optimize.least_squares(errors, [-0.1, -2.9], diff_step=0.05, xtol=5e-3, ftol=1e-4, max_nfev=8)
    return 1000 * 2 ** float(best.x[0]), 1000 * 2 ** float(best.x[1])


def _remote(runs: Runs, gap: float, each: float) -> float:
    """How much longer a line from another node takes, from 64 CPUs: by regula falsi, since that is less throughput."""
    low, high = 0.0, 40.0
    ends = [log(rates(runs, [REMOTE_ON], gap, each, remote)[0] / MEASURED_K[REMOTE_ON]) for remote in (low, high)]
    if ends[0] <= 0:
        return low
    for _ in range(3):
        middle = low + (high - low) * ends[0] / (ends[0] - ends[1])
        error = log(rates(runs, [REMOTE_ON], gap, each, middle)[0] / MEASURED_K[REMOTE_ON])
        low, high = (middle, high) if error > 0 else (low, middle)
        ends = [error, ends[1]] if error > 0 else [ends[0], error]
        if abs(error) < 0.02:
            break
    return low + (high - low) * ends[0] / (ends[0] - ends[1])


TARGET = Target(
    "command-queue",
    "A locked command queue against CPUs",
    "predicted",
    "John Garry, *iommu/arm-smmu-v3: Improve cmdq lock efficiency*, linux-kernel, 23 Sep 2020 "
    "(37734fe9-8b67-3cf3-2925-2fee549cb45a@huawei.com): Kunpeng 920, SMMUv3, one queue of 65,536 commands, v5.9-rc1, "
    "strict, a loop of dma_map and dma_unmap on each CPU, tickets by atomic_add",
    "The driver's tickets are taken by atomic additions, too, so that the third column of that mail is the one to "
    "compare with. One read brings all commands that wait, and takes as long as a read of a table does in pcie-bench. "
    "Think time and the time of a command are calibrated on 2 and 16 CPUs; 4 and 8, and 32 to 96, are predicted. In a "
    "second series a cache line is longer on its way to CPUs of the three dies, of 24 CPUs each, that are not its "
    "memory's, calibrated on 64 CPUs; by 32 the time of a doorbell was chosen.",
    run,
    0.10,
    "Arm's driver sends both commands of an unmap under one ticket, and one CPU rings for several; here each command "
    "has its ticket and its doorbell. About a thousand rounds are counted at each point: 3 % are chance. What was "
    "measured is felt from the first CPU on: a round takes 1.63 us and 0.23 us for each CPU, up to 16 of them. **So "
    "it is here because one read brings all commands that wait** (`iommu0.geometry.command_burst`): nothing is "
    "carried out while it is under way, and it is paid for once. Where each command has a read of its own, 4 and 8 "
    "CPUs come out 13.7 and 20.4 % too fast with the doorbell's time calibrated, 16 and 21 % with the command's, as "
    "they do in closed form wherever a place of work takes the same time each time, be it one or five in a row: such "
    "a queue is not felt before it is nearly full. How long read and doorbell are matters little for 4 and 8 CPUs: "
    "with a read of 390 ns and a doorbell of 40 they come out 4.5 and 4.4 % too fast, with a doorbell of 20 ns 7.0 "
    "and 7.1 %. It does for 32, which are 17 % too fast then; with a doorbell of 100 ns 16 CPUs come out 9 % too "
    "slow, whatever the rest. Other hypotheses do worse, calibrated on the same points: that the IOMMU takes as long "
    "for each command as its doorbell does (4 and 8 CPUs +17 and +24 %), and that most of the service is lines that "
    "move, with doorbells of 30 ns (+17 and +38 %). The fall beyond 16 CPUs comes of itself for the most part: each "
    "CPU that waits for its turn looks. A line that costs the same wherever it moves, one CPU after the other, makes "
    "it steeper than it was (-35 % at 96 CPUs, where 64 are met); one that is longer on its way from another die "
    "misses by 20 %. The measured law beyond is the same line with 0.64 us in place of 0.23 us for CPUs of other "
    "dies, chosen on 64: 32 CPUs -10.5 %, 96 CPUs +1.3 %.",
)
