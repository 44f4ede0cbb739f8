"""What a policy is asked now and then has to answer as its contract says: one that forgets to return is named."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest

from cosim.spec.pagetable import PAGE
from cosim.sw.contract import WrongAnswer, WrongValue
from cosim.sw.driver.axes import Variant
from cosim.sw.driver.variants import load_variant
from cosim.sw.iommu_ops import Gather, MapResult, Prot
from tests.sw.driver.machine import DRAM, Machine

ASKED = [
    ("pscid", "take", "an int"),
    ("pscid", "on", "an int"),
    ("bonds", "new", "a Bond"),
    ("bonds", "unlink", "a bool"),
    ("tables", "prepare", "a tuple"),
    ("tables", "publish_directory", "a Loaded"),
    ("bringup", "ddtp_at_start", "a Ddtp"),
    ("bringup", "fixed_root", "an int"),
    ("bringup", "waits_for_ddtp", "a bool"),
    ("bringup", "waits_for_queues", "a bool"),
    ("interrupts", "pending", "an IrqReturn"),
]
"""An axis, a method, and what it has to return."""
SPARED = {("v2", "on")}
"""What is not asked there."""


def forgetful(row: Variant, axis: str, method: str) -> Variant:
    """The row with a policy whose method returns nothing."""

    async def awaited(self: Any, *given: Any) -> None:
        pass

    def at_once(self: Any) -> None:
        pass

    answers = at_once if method.startswith("waits") else awaited
    answers.__qualname__ = f"Wrong.{method}"
    return replace(row, **{axis: type("Wrong", (type(getattr(row, axis)),), {method: answers})()})


@pytest.mark.parametrize("row", ["merged", "ideal", "v2"])
@pytest.mark.parametrize(("axis", "method", "wanted"), ASKED)
def test_a_method_that_returns_nothing_is_named_and_not_who_asks_it(
    row: str, axis: str, method: str, wanted: str
) -> None:
    machine = Machine(forgetful(load_variant(row), axis, method))

    async def life() -> None:
        core = machine.core
        await core.probe_iommu(machine.hardware[0])
        await core.probe_device("dev0", (1,), "iommu0")
        await core.attach("dev0", await core.domain_alloc("d", "dev0"))
        await core.release_device("dev0")
        await machine.driver.forward_command(core.iommus["iommu0"], (0x7F, 0))

    if (row, method) in SPARED:
        machine.run(life())
        return
    with pytest.raises(WrongAnswer, match=rf"^Wrong\.{method} returned None, which is not {wanted}$"):
        machine.run(life())


def answering(row: Variant, axis: str, method: str, answer: Any) -> Variant:
    """The row with a policy whose method returns `answer` without doing anything."""

    async def answers(self: Any, *given: Any) -> Any:
        return answer

    answers.__qualname__ = f"Wrong.{method}"
    return replace(row, **{axis: type("Wrong", (type(getattr(row, axis)),), {method: answers})()})


IMPOSSIBLE = [
    ("pscid", "take", -1),
    ("pscid", "take", 1 << 20),
    ("pscid", "on", 1 << 20),
    ("tables", "prepare", ((PAGE,),)),
    ("tables", "prepare", ((), 0xFFFF)),
    ("tables", "prepare", (PAGE, 0xFFFF)),
    ("tables", "prepare", (("4 KiB",), 0xFFFF)),
    ("tables", "prepare", ((2048, PAGE), 0xFFFF)),
    ("tables", "prepare", ((PAGE, 3 * PAGE), 0xFFFF)),
    ("tables", "prepare", ((2 << 20, PAGE), 0xFFFF)),
    ("tables", "prepare", ((PAGE,), -1)),
    ("tables", "prepare", ((PAGE,), None)),
    ("tables", "map_pages", MapResult(0)),
    ("tables", "map_pages", MapResult(-PAGE)),
    ("tables", "map_pages", MapResult(3 * PAGE)),
    ("tables", "map_pages", MapResult(PAGE - 1)),
    ("tables", "map_pages", MapResult(0, -errno.ENOMEM)),
    ("tables", "unmap_pages", -errno.EINVAL),
    ("tables", "unmap_pages", PAGE - 1),
]
"""An axis, a method, and something of the right type that is no answer."""


async def life_with_a_page(machine: Machine) -> None:
    """A device enters a domain, two pages are mapped there and unmapped, and the device leaves."""
    core = machine.core
    await core.probe_iommu(machine.hardware[0])
    await core.probe_device("dev0", (1,), "iommu0")
    domain = await core.domain_alloc("d", "dev0")
    await core.attach("dev0", domain)
    await machine.driver.map_pages(domain, 0, DRAM, PAGE, 2, Prot.READ)
    await machine.driver.unmap_pages(domain, 0, PAGE, 2, Gather())
    await core.release_device("dev0")


@pytest.mark.parametrize("row", ["merged", "ideal"])
@pytest.mark.parametrize(("axis", "method", "answer"), IMPOSSIBLE)
def test_an_answer_that_nobody_could_go_on_with_is_told_of_who_gave_it(
    row: str, axis: str, method: str, answer: object
) -> None:
    machine = Machine(answering(load_variant(row), axis, method, answer))
    with pytest.raises(WrongValue, match=rf"^Wrong\.{method} returned .*, which is "):
        machine.run(life_with_a_page(machine))


HEEDED = [
    ("send", None, "an int"),
    ("send", "lost", "an int"),
    ("wait", None, "a bool"),
    ("wait", -errno.EIO, "a bool"),
]
"""A method of the queue, what it returns, and what it has to: where somebody goes by that."""


@pytest.mark.parametrize(("method", "answer", "wanted"), HEEDED)
def test_a_queue_that_does_not_say_whether_a_command_is_in_it_or_done_is_named(
    method: str, answer: object, wanted: str
) -> None:
    machine = Machine(answering(load_variant("ideal"), "queue", method, answer))

    async def life() -> None:
        core = machine.core
        await core.probe_iommu(machine.hardware[0])
        await core.probe_device("dev0", (1,), "iommu0")
        domain = await core.domain_alloc("d", "dev0")
        await core.attach("dev0", domain)
        await machine.driver.flush_iotlb_all(domain)
        if method == "send":
            await core.attach("dev0", await core.domain_alloc("e", "dev0"))

    with pytest.raises(WrongAnswer, match=rf"^Wrong\.{method} returned {answer!r}, which is not {wanted}$"):
        machine.run(life())


RIGHT = [
    ("map_pages", MapResult(PAGE)),
    ("map_pages", MapResult(PAGE, errno.ENOMEM)),
    ("map_pages", MapResult(0, errno.ENOMEM)),
    ("unmap_pages", 0),
    ("unmap_pages", PAGE),
    ("unmap_pages", 2 << 20),
]
"""A method of tables, and an answer with which a caller goes on: a page may be larger than what is unmapped of it."""


@pytest.mark.parametrize(("method", "answer"), RIGHT)
def test_a_part_of_what_was_asked_for_and_a_failure_are_answers(method: str, answer: object) -> None:
    machine = Machine(answering(load_variant("latest"), "tables", method, answer))
    machine.run(life_with_a_page(machine))
