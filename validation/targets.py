"""The targets, in the order of the page."""

from __future__ import annotations

from validation import command_queue, latency, modes, rtl, small_checks, throughput
from validation.target import Target

TARGETS: tuple[Target, ...] = (
    latency.TARGET,
    throughput.TARGET,
    rtl.TARGET,
    command_queue.TARGET,
    modes.TARGET,
    *small_checks.TARGETS,
)

NOT_VALIDATED = (
    (
        "Koenig, Zelioli and Benini, *Evaluating IOMMU-Based Shared Virtual Addressing for RISC-V Embedded "
        "Heterogeneous SoCs* ([arXiv 2502.17398](https://arxiv.org/abs/2502.17398))",
        "the only published measurement of a system with a RISC-V IOMMU: translation takes 4.2 to 17.6 % of a gemm's "
        "time as the memory gets slower, and under 2 % with a last-level cache. What a study would need: their tile "
        "sizes and the order in which a kernel's DMA touches them (a recorded stream of requests, `topologies/` "
        "`zero_day_rtl` as the IOMMU, which is theirs), the entries of its IOTLB, and the memory's latency at each of "
        "their points; calibrated on the shortest and the longest latency without a cache, with the others and those "
        "with a cache predicted.",
    ),
    (
        "strict invalidation against cores with VT-d under a guest ([xlab-uiuc/Fast-and-Safe-IO-Memory-Protection]"
        "(https://github.com/xlab-uiuc/Fast-and-Safe-IO-Memory-Protection) commit 00ebcf884)",
        "throughput falls 9.5 times from 8 to 16 cores, while misses a page stay as they are: it is the lock that "
        "VT-d's driver holds while it waits for its fence. No policy of ours holds one there, and without it a closed "
        "loop saturates and does not fall. What would do it: a queue policy that does, service and think time "
        "calibrated on 1 and 8 cores, with 16 and 20 predicted.",
    ),
    (
        "IOTLB-SC (Tiemann et al., AsiaCCS 2023, arXiv 2202.11623)",
        "an FPGA finds 118 addresses that evict another, as many as pcie-bench's latency says for Haswell; the paper's "
        "own table was not at hand.",
    ),
)
"""What the model is not held against, and what would do it."""
