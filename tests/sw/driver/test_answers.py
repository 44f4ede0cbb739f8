"""What a policy is asked now and then has to answer as its contract says: one that forgets to return is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cosim.sw.contract import WrongAnswer
from cosim.sw.driver.axes import Variant
from cosim.sw.driver.variants import load_variant
from tests.sw.driver.machine import Machine

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
