"""The targets, in the order of the page."""

from __future__ import annotations

from validation import command_queue, latency, rtl, small_checks
from validation.target import Target

TARGETS: tuple[Target, ...] = (
    latency.TARGET,
    rtl.TARGET,
    command_queue.TARGET,
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
)
"""What the model is not held against, and what would do it."""
