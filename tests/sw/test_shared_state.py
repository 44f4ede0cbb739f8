"""Threads share words in simulated memory; what is kept in Python attributes beside them is listed here, with why."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import cosim.sw
from cosim.sw.kernel.objects import Cell, Object

ROOT = Path(cosim.sw.__file__).parent

MUTATORS = {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft"}
MUTATORS |= {"remove", "setdefault", "update"}

INSTANT = "changes only at the instant of an atomic operation that stands for its lock"
PRIVATE = "belongs to one thread, as a variable on its stack does"
SCHEDULER = "is what the scheduler knows of each CPU and thread, and no algorithm under study reads it"
LOCKED = "changes under spinlocks that are words"
NAMES = "says what there is, by name, as sysfs does; what attach decides by are words of the group"

MAY_CHANGE = {
    "iommu_core.IommuCore": NAMES,
    "dma_direct.DmaDirect": "notes what coherent memory there is, for the search for leaks alone",
    "dma_iommu.DmaDomain": "becomes lazy once, at boot",
    "driver.device_context.DeviceContextWatch": "tells what memory holds, and no algorithm under study reads it",
    "iommu_ops.Gather": PRIVATE,
    "driver.tables_watch.TableWatch": "tells what memory holds, and no algorithm under study reads it",
    "driver.driver.Driver": "notes what each IOMMU holds until it is removed, which one thread does",
    "calls.Measured": PRIVATE,
    "flush_queue.FlushQueue": "is made and unmade with its domain, by one thread",
    "iova.IovaAllocator": LOCKED,
    "iova.Ranges": LOCKED,
    "kernel.buddy.Buddies": INSTANT,
    "kernel.ids.Ida": INSTANT,
    "kernel.irq.IrqLines": "says which lines there are; lines are never removed",
    "kernel.locks.Section": PRIVATE,
    "kernel.lists.Entries": PRIVATE,
    "kernel.objects.Member": "is set once, when its class is made",
    "kernel.page_allocator.PageAllocator": INSTANT,
    "kernel.rcu_callbacks.Batch": "changes before the atomic operation that tells of it, or after one that takes it",
    "kernel.rcu.Rcu": SCHEDULER,
    "kernel.kernel.Kernel": SCHEDULER,
    "kernel.timers.Timers": "changes only at the instant of the exchange that arms or cancels a timer",
    "object_driver.accesses.Accesses": PRIVATE,
    "object_driver.hart.ObjectHart": PRIVATE,
    "object_driver.task.Task": PRIVATE,
    "object_driver.patience.Wait": PRIVATE,
    "object_driver.pages.Descriptors": "is a note of whoever holds a page, as its struct page is",
    "object_driver.contexts.Contexts": "tells what memory holds, and no algorithm under study reads it",
    "object_driver.numbers.Numbers": "tells what objects in memory hold, and no algorithm under study reads it",
    "object_driver.watch.QueueWatch": "tells what registers were told, and no algorithm under study reads it",
    "object_driver.unset.Unset": "says which bytes have no value, as no word of memory does",
    "object_driver.driver.ObjectDriver": NAMES,
    "object_driver.structures.Structures": NAMES,
    "object_driver.machine.Machine": "says which stacks are free; each call has its own",
    "receive_ring.ReceiveRing": PRIVATE,
    "runtime.Origin": "is set once, when boot is over, by the one thread that boots",
    "runtime.Runtime": NAMES,
}


def changed(function: ast.AST) -> set[str]:
    """The attributes of self that a method assigns, deletes, or calls a mutating method of."""
    found: set[str] = set()
    for node in ast.walk(function):
        targets: list[ast.expr] = []
        if isinstance(node, (ast.Assign, ast.Delete)):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            targets = [node.func.value]
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                while isinstance(part, (ast.Subscript, ast.Attribute)):
                    if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self":
                        found.add(part.attr)
                    part = part.value
    return found


def changing(source: str) -> dict[str, set[str]]:
    """The classes of a module whose methods change attributes after construction, and which ones."""
    classes: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            methods = [
                item
                for item in node.body
                if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and item.name != "__init__"
            ]
            if found := set().union(*(changed(method) for method in methods)):
                classes[node.name] = found
    return classes


def test_only_what_is_listed_changes_after_its_construction() -> None:
    found = {
        ".".join((*path.relative_to(ROOT).with_suffix("").parts, name)): attributes
        for path in sorted(ROOT.rglob("*.py"))
        for name, attributes in changing(path.read_text()).items()
    }
    surprising = {name: sorted(attributes) for name, attributes in found.items() if name not in MAY_CHANGE}
    assert not surprising, "threads share words in simulated memory: make these cells, or list them with the reason"
    assert set(MAY_CHANGE) == set(found), "what no longer changes need not be listed"


def test_the_check_sees_every_way_to_change_an_attribute() -> None:
    source = """
class Bad:
    def __init__(self): self.fine = 1
    async def method(self):
        self.a = 1
        self.b += 1
        self.c[0] = 1
        self.d.append(1)
        del self.e[0]
        self.f, other = 1, 2
        self.g.h = 1
        print(self.i)
"""
    assert changing(source) == {"Bad": {"a", "b", "c", "d", "e", "f", "g"}}


def everything(kind: type) -> set[type]:
    return {kind}.union(*(everything(sub) for sub in kind.__subclasses__()))


def test_every_view_of_simulated_memory_is_frozen() -> None:
    for module in pkgutil.walk_packages(cosim.sw.__path__, "cosim.sw."):
        importlib.import_module(module.name)
    views = [kind for kind in everything(Object) if kind.__module__.startswith("cosim.")]
    assert len(views) > 10
    for view in [*(kind(0x8000_0000) for kind in views), Cell(0x8000_0000)]:
        with pytest.raises(AttributeError, match="simulated memory"):
            view.owner = 1  # type: ignore[union-attr]
