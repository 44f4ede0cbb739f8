"""What a run says of a queue that has stopped: it stays when the queue is gone, and goes from process to process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueError:
    """An error in which a queue stands: the bit of its CSR, since when, and how many entries are in the queue."""

    iommu: str
    queue: str
    """``cq``, ``fq`` or ``pq``."""
    bit: str
    since_ps: int
    entries: int

    @property
    def name(self) -> str:
        """With its register: ``iommu0.cqcsr.cmd_ill``."""
        return f"{self.iommu}.{self.queue}csr.{self.bit}"
