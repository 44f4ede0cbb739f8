"""The page on defects of the hardware, written from their options and topologies: `python docs/generate.py`."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.hw.iommu.options import DefectOptions
from cosim.system.load import load, shipped

PAGE = "hardware-defects.md"

OPENING = """\
# Defects of the hardware

<!-- Written by docs/generate.py from the models and topologies; `make docs` renews it. Change those, not this page. -->

An IOMMU of a topology can err: `defects:` puts a class that is wrong in the place of one that reads as the
specification ([parts.py](../cosim/hw/iommu/parts.py) is the table). Each defect is there so that an oracle can be shown
to see it, and has a topology of its name in `topologies/defects/` that shows it by itself: `cosim run early_fence` is
ok if the defect is seen. Without the defect the same system is clean. Neither hangs on a latency or a seed:
`tests/topologies/test_defects.py` tries both with every latency of the hardware scaled by 0.8 to 1.25, each by a factor
of its own, with other seeds, and under the drivers `current`, `latest` and `ideal`.

"""

CLOSING = """\
## What is not among them

* An IODIR that leaves the IOTLB as it is: that is right. Entries of the IOTLB are named by PSCID, and IOTINVAL drops
  them ("IOMMU directory cache invalidation commands").
* A fence that waits for accesses and not for walks, an invalidation that misses what a walk under way fills: parts of
  `early_fence` and `stale_fill`.
* An invalidation whose address has to be the first of a large page: drivers invalidate a large page at its first
  address, or all of its PSCID, and would not meet it.
* A and D that are not written: the driver sets A, and D where it permits writes, and asks for no updates.
* A record with a wrong IOVA: nothing but the kernel's log reads it, and no oracle judges that.
"""


def defects() -> str:
    """The whole page."""
    return OPENING + "".join([*_table(), "\n", *_sections()]) + CLOSING


def without(defect: str) -> str:
    """What takes a defect away on the command line, and with it what is expected to be seen."""
    value = str(DefectOptions.model_fields[defect].default).lower()
    return f"-s iommu0.defects.{defect}={value} -s 'expect.signatures=[]'"


def signatures(defect: str) -> tuple[str, ...]:
    """What is seen of a defect in its topology, by how signatures of violations begin."""
    expect = load(defect).expect
    assert expect is not None
    return expect.signatures


def _table() -> Iterator[str]:
    yield "| defect | what the hardware does | command | signatures of what is seen |\n|---|---|---|---|\n"
    for name, field in DefectOptions.model_fields.items():
        seen = "<br>".join(f"`{signature}`" for signature in signatures(name))
        says = " ".join((field.description or "").split())
        yield f"| [`{name}`](#{name}) | {says} | `cosim run {name}` | {seen} |\n"


def _sections() -> Iterator[str]:
    """The opening comment of each topology, but for the overrides at its end, which become a whole command."""
    for name in DefectOptions.model_fields:
        path = shipped()[name]
        comment = path.read_text(encoding="utf-8").partition("\nparts:")[0].splitlines()
        lines = [line.removeprefix("#").removeprefix(" ") for line in comment if not line.startswith("#   -s ")]
        yield f"## {name}\n\n"
        yield "\n".join(lines) + f"\n\n    cosim run {name} {without(name)}\n\n"
        yield f"The file: [{path.name}](../topologies/defects/{path.name}).\n\n"
