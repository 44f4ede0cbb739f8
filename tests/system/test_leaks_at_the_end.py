"""What is lost at the end of a run: nothing that a store still leads to when it takes hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim.sim.chooser import Chooser
from cosim.sw.kernel.objects import Cell, Object, cell
from cosim.system.build import build
from cosim.system.load import load
from cosim.units.quantities import MS, US

SLOW = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu: {kind: cpu, count: 2, memory_model: MODEL, timing: {drain: 1 ms}}
"""


class Node(Object):
    next = cell()


@pytest.mark.parametrize("model", ["rvwmo", "tso"])
def test_what_a_store_leads_to_is_lost_neither_before_it_takes_hold_nor_afterwards(tmp_path: Path, model: str) -> None:
    """A thread ends, and what it has allocated and linked is in the store buffer of its CPU, which is not the first."""
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW.replace("MODEL", model))
    system = build(load(path), Chooser())
    head = Cell(system.kernel.static(8))

    async def links() -> None:
        await system.kernel.pages.new(Node)
        await head.store((await system.kernel.pages.new(Node)).address)
        ended.append(system.sim.now)

    def lost() -> tuple[bool, list[str]]:
        return system.bus.peek(head.address, 8) != 0, [leak.purpose for leak in system.leaks()]

    ended: list[int] = []
    system.kernel.start("cpu1", "links", links())
    while not ended:
        system.sim.env.run(until=system.sim.now + 100 * US)
    found = [lost()]
    system.sim.env.run(until=system.sim.now + 2 * MS)
    found.append(lost())
    leaked = [system.totals(system.leaks() * times)["kernel.leaked_pages"] for times in (0, 1, 2, 4096)]
    system.close()
    assert leaked == [0, 1, 1, Node.SIZE], "what is lost together is rounded up to whole pages"
    assert found == [(False, ["Node"]), (True, ["Node"])], "one is linked, and the other one is not"
