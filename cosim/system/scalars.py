"""The catalogue of scalars: the pattern of each one's name, its unit and what it means.

A metric is a number that a part of the system keeps (its `counters`, or a line in `cosim.system.counters`) and a row
here: a test names what only one of the two has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

COMMANDS = ("iotinval_vma", "iotinval_gvma", "iodir_inval_ddt", "iodir_inval_pdt", "iofence")
"""The commands that an IOMMU counts by their names."""

QUEUES = ("cq", "fq")
"""The queues in memory of which an IOMMU counts the depth."""

VARIABLES: Mapping[str, str] = {
    "cache": r"iotlb|ddtc|ddt_nonleaf|nonleaf\d",
    "command": "|".join(COMMANDS),
    "queue": "|".join(QUEUES),
    "purpose": r"\w+",
    "way": "up|down",
    "thread": r"[\w-]+",
    "call": r"\w+",
    "n": r"\d+",
}
"""What may stand for each word in angle brackets; any other stands for the path of a part of that kind."""


class Scalar(NamedTuple):
    """A row: `pattern` is the name, with a word in angle brackets for each part of it that varies."""

    pattern: str
    unit: str
    meaning: str

    def matches(self, name: str) -> bool:
        """Whether `name` is a scalar of this row, whatever its part is called."""
        pieces = re.split(r"<(\w+)>", self.pattern)
        texts = [VARIABLES.get(piece, "[^.]+") if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)]
        return re.fullmatch("".join(f"(?:{text})" for text in texts), name) is not None


USE = "of 1", "the fraction of the window in which it was busy"

SCALARS: tuple[Scalar, ...] = (
    Scalar("<memory>.reads", "accesses", "reads by hardware; a compare and swap is a read and a write"),
    Scalar("<memory>.writes", "accesses", "writes by hardware"),
    Scalar("<memory>.read_bytes", "bytes", "read by hardware"),
    Scalar("<memory>.written_bytes", "bytes", "written by hardware"),
    Scalar("<memory>.read_gbps", "Gb/s", "read by hardware, over the window"),
    Scalar("<memory>.written_gbps", "Gb/s", "written by hardware, over the window"),
    Scalar("<memory>.port.busy_ps", "ps", "time that ports carried data, added up"),
    Scalar("<memory>.port.utilisation", "of 1", "the fraction of the window that a port carried data, on average"),
    Scalar("<memory>.port.waited_ps", "ps", "time that accesses waited for their ports, added up"),
    Scalar("<memory>.port<n>.busy_ps", "ps", "the same of one port, where there are several"),
    Scalar("<memory>.port<n>.utilisation", *USE),
    Scalar("<memory>.cache.hits", "reads", "reads by IOMMUs for themselves that its cache had, where it has one"),
    Scalar("<memory>.cache.misses", "reads", "reads by IOMMUs for themselves that it had not"),
    Scalar("<cpu>.switches", "switches", "changes from one thread to another"),
    Scalar("<cpu>.busy_ps", "ps", "time that threads and interrupt handlers ran"),
    Scalar("<cpu>.utilisation", *USE),
    Scalar("<cpu>.<thread>.<call>.per_s", "calls/s", "calls that the thread began and that returned, over the window"),
    Scalar("<cpu>.imsic.messages", "messages", "interrupts that came as messages"),
    Scalar("<iommu>.requests", "requests", "requests that were looked up"),
    Scalar("<iommu>.faults", "requests", "requests that it refused, with a fault"),
    Scalar("<iommu>.restarts", "restarts", "translations that began anew, after an invalidation or another's update"),
    Scalar("<iommu>.overtaken", "requests", "misses that an invalidation overtook"),
    Scalar("<iommu>.merged", "walks", "walks that joined another's"),
    Scalar("<iommu>.merge_wait_ps", "ps", "time that walks waited for those that they joined, added up"),
    Scalar("<iommu>.walks", "walks", "page-table walks that had a walker"),
    Scalar("<iommu>.walk_reads", "reads", "entries of page tables that they read"),
    Scalar("<iommu>.ddt_walks", "walks", "device-directory walks that had a walker"),
    Scalar("<iommu>.ddt_reads", "reads", "entries of device directories that they read"),
    Scalar("<iommu>.ad_updates", "updates", "updates of A and D in page tables"),
    Scalar("<iommu>.walkers.busy_ps", "ps", "time that walkers walked, added up"),
    Scalar("<iommu>.walkers.utilisation", "of 1", "the fraction of the window that a walker walked, on average"),
    Scalar("<iommu>.table_reads.busy_ps", "ps", "time that a read of a table held up the next, if walk_read_interval"),
    Scalar("<iommu>.table_reads.utilisation", *USE),
    Scalar("<iommu>.table_reads.waited_ps", "ps", "time that walkers waited for one another's reads, added up"),
    Scalar("<iommu>.places.busy_ps", "ps", "time that places among in_flight were taken, added up"),
    Scalar("<iommu>.places.utilisation", "of 1", "the fraction of the window that a place was taken, on average"),
    Scalar("<iommu>.lookup.busy_ps", "ps", "time that look-ups held up the next one"),
    Scalar("<iommu>.lookup.utilisation", *USE),
    Scalar("<iommu>.<cache>.hits", "look-ups", "look-ups that found an entry"),
    Scalar("<iommu>.<cache>.misses", "look-ups", "look-ups that found none"),
    Scalar("<iommu>.<cache>.fills", "entries", "entries that were put in"),
    Scalar("<iommu>.<cache>.evictions", "entries", "entries that gave way to another"),
    Scalar("<iommu>.<cache>.dropped", "entries", "entries that an invalidation dropped"),
    Scalar("<iommu>.commands.total", "commands", "commands that took hold"),
    Scalar("<iommu>.commands.<command>", "commands", "commands of this kind that took hold"),
    Scalar("<iommu>.commands.illegal", "tries", "tries of a command that is illegal"),
    Scalar("<iommu>.commands.memory_faults", "tries", "accesses of the command consumer that memory refused"),
    Scalar("<iommu>.commands.busy_ps", "ps", "time that the command consumer decoded and carried out commands"),
    Scalar("<iommu>.commands.utilisation", *USE),
    Scalar("<iommu>.commands.stalled_ps", "ps", "time that `stalls:` kept the command consumer from its work"),
    Scalar("<iommu>.fq.recorded", "faults", "faults of which the fault queue got a record"),
    Scalar("<iommu>.fq.lost", "faults", "faults that should have a record and have none"),
    Scalar("<iommu>.fq.kept_back", "faults", "faults that are not recorded since the device's context sets DTF"),
    Scalar("<iommu>.fq.busy_ps", "ps", "time that records of faults were written, with the turnaround behind each"),
    Scalar("<iommu>.fq.utilisation", *USE),
    Scalar("<iommu>.<queue>.depth_ps", "entries x ps", "the depth of the queue, integrated over the window"),
    Scalar("<iommu>.<queue>.depth_mean", "entries", "the mean depth of the queue"),
    Scalar("<iommu>.<queue>.depth_max", "entries", "the largest depth of the queue"),
    Scalar("<device>.reads", "requests", "reads that are over"),
    Scalar("<device>.writes", "requests", "writes that are over"),
    Scalar("<device>.read_bytes", "bytes", "read with success"),
    Scalar("<device>.written_bytes", "bytes", "written with success"),
    Scalar(
        "<device>.offered_bytes", "bytes", "of the requests that it made, whether they had a slot or waited for one"
    ),
    Scalar("<device>.read_gbps", "Gb/s", "read with success, over the window"),
    Scalar("<device>.written_gbps", "Gb/s", "written with success, over the window"),
    Scalar("<device>.offered_gbps", "Gb/s", "what it asked for, over the window"),
    Scalar(
        "<device>.overloaded", "0 or 1", "1 if its backlog has grown all through the window: its latency has no mean"
    ),
    Scalar("<device>.failed", "requests", "requests that did not end with success: refused, or failed on the bus"),
    Scalar("<device>.refused", "requests", "requests that an IOMMU refused, with a fault"),
    Scalar("<device>.bus_errors", "requests", "requests that failed on the bus: at memory, or where there is none"),
    Scalar("<device>.packets", "packets", "packets that a ring device has moved"),
    Scalar("<device>.dropped", "packets", "packets that found no descriptor"),
    Scalar("<device>.in_flight_mean", "requests", "the mean number of requests on their way"),
    Scalar("<device>.in_flight_max", "requests", "the largest number of requests on their way"),
    Scalar("<device>.backlog_mean", "requests", "the mean number of requests that waited in the device for a slot"),
    Scalar("<device>.backlog_max", "requests", "the largest number of requests that waited in the device for a slot"),
    Scalar("<device>.link_<way>.busy_ps", "ps", "time that this direction of the link carried packets"),
    Scalar("<device>.link_<way>.utilisation", *USE),
    Scalar("<domain>.exposed.ranges", "ranges", "ranges that a lazy domain has unmapped, and flushed since"),
    Scalar("<domain>.exposed.mean_ps", "ps", "from an unmap until its flush has ended: devices may reach the range"),
    Scalar("<domain>.exposed.max_ps", "ps", "the longest of them"),
    Scalar("driver.commands_sent", "commands", "commands that took hold, of all IOMMUs"),
    Scalar(
        "driver.commands_needed",
        "commands",
        "commands without which a device could have kept what was unmapped, or left: one for each page, and a fence",
    ),
    Scalar("kernel.leaked_pages", "pages", "pages in use at the end that nothing in the kernel leads to"),
    Scalar("kernel.quarantined", "blocks", "blocks of memory that the kernel keeps back for good"),
    Scalar("kernel.pages.<purpose>", "bytes", "memory in use at the end for this purpose"),
)
"""Every scalar that a result may hold; they cover the measured window, but for those of `kernel`."""
