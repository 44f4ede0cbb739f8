"""What must hold when operations have ended: of the hardware, of every page that is or was mapped, and of memory."""

from __future__ import annotations

from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.operations import Sleep
from cosim.spec.pagetable import PAGE
from cosim.sw.iommu_ops import Prot
from cosim.units.quantities import MS, US
from tests.stress.bench import Bench
from tests.stress.holdings import Buffer


def after_operations(bench: Bench) -> None:
    """Wait for what was begun, and judge it. AssertionError."""
    bench.system.kernel.pages.fail(())
    for device in bench.devices:
        bench.stop(device)
    bench.come_to_rest()
    no_violation(bench)
    hardware_rests(bench)
    pages_lead_where_they_should(bench)
    no_violation(bench)


def no_violation(bench: Bench) -> None:
    """No oracle has found anything."""
    assert not bench.violations, f"{len(bench.violations)} violations, the first: {bench.violations[0]}"


def hardware_rests(bench: Bench) -> None:
    """No request is under way, no slot is taken, no command is left, and no time was lost."""
    bench.meter.over_time.check_littles_law()
    for iommu in bench.system.iommus.values():
        assert iommu.translation.walker.slots.free == iommu.options.geometry.walkers
        ring = iommu.commands.queue
        assert not (ring.enabled and ring.depth), "commands are left"
        assert ring.slot.free == 1
        assert iommu.fault_queue.idle, "faults wait for their records"
    for path, master in bench.system.masters.items():
        assert master.occupancy.inside == 0, f"{path} has requests under way"
        assert master.slots.free == master.slots.slots


def pages_lead_where_they_should(bench: Bench) -> None:
    """Each device reaches the pages of its domain as they are mapped, and none that was unmapped."""
    inside = {device: name for name, state in bench.domains.items() for device in state.devices}
    alive = {name: list(state.buffers) for name, state in bench.domains.items()}
    for device in bench.devices:
        for buffer in alive.get(inside.get(device, ""), []):
            for offset in {0, buffer.size - PAGE}:
                for write in (False, True):
                    _reaches(bench, device, buffer, offset + 8, write)
        for buffer in bench.dead:
            if not any(_meet(buffer, other) for other in alive.get(inside.get(device, ""), [])):
                _is_refused(bench, device, buffer.iova)


def _reaches(bench: Bench, device: str, buffer: Buffer, offset: int, write: bool) -> None:
    txn = _request(bench, device, buffer.iova + offset, write)
    allowed = bool(buffer.prot & (Prot.WRITE if write else Prot.READ))
    what = f"{device} {'writes' if write else 'reads'} {buffer.iova + offset:#x} of {buffer.domain}"
    if not allowed:
        assert txn.status is Status.UR, f"{what}, which is not allowed: {txn.status.name}"
        return
    assert txn.status is Status.SUCCESS, f"{what}: {txn.status.name}"
    assert txn.address == buffer.address(offset), f"{what}: it leads to {txn.address:#x}"
    if write:
        assert bench.system.bus.peek(buffer.address(offset), 8) == txn.words[0], f"{what}: memory has something else"


def _is_refused(bench: Bench, device: str, iova: int) -> None:
    txn = _request(bench, device, iova, write=False)
    assert txn.status is not Status.SUCCESS, f"{device} reads {iova:#x}, which was unmapped"


def _request(bench: Bench, device: str, iova: int, write: bool) -> Transaction:
    done: list[Transaction] = []
    bench.dma(device, iova, 8, write, then=done.append)
    for _ in range(100):
        bench.wait(2 * US)
        if done:
            return done[0]
    raise AssertionError(f"{device}: a request to {iova:#x} is not answered")


def _meet(one: Buffer, other: Buffer) -> bool:
    return one.iova < other.iova + other.size and other.iova < one.iova + one.size


def nothing_leaks(bench: Bench) -> None:
    """Undo everything; then no memory is in use that was not before the first IOMMU was probed."""
    cpu = next(iter(bench.system.cpus))
    for buffer in bench.buffers():
        bench.unmap(cpu, buffer)
        bench.settle()
    for device in bench.devices:
        if device not in bench.unplugged:
            bench.unplug(cpu, device)
            bench.settle()
    for name in list(bench.domains):
        bench.free_domain(cpu, name)
        bench.settle()
    for iommu in bench.iommus:
        if iommu not in bench.removed:
            bench.remove_iommu(cpu, iommu)
            bench.settle()
    bench.kernel_call(cpu, "grace periods", _grace_periods(bench))
    bench.settle()
    no_violation(bench)
    assert not bench.runtime.leaks()
    left = bench.system.kernel.pages.purposes()
    assert left.keys() <= {"IrqAction"}, left


async def _grace_periods(bench: Bench) -> None:
    for _ in range(2):
        await bench.runtime.kernel.rcu.synchronize()
        await Sleep(1 * MS)
