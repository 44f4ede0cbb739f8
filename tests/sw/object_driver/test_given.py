"""The kernel's variables that a driver may read have their values, each in its place and in no other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cosim.object.dwarf import Member, Structure
from cosim.object.link import Region
from cosim.sw.object_driver.given import SIZES, values_of

START = 0xFFFF_FFFF_8010_0000
MEMBERS = [
    Member(name, 8 * n, 8, "unsigned long") for n, name in enumerate(("page_offset", "virt_addr", "virt_offset"))
]
MAPPING = Structure("kernel_mapping", 24, {member.name: member for member in MEMBERS})


def image(*names: str, structures: dict[str, Structure]) -> Any:
    """What is to be known of an image that asks for these variables, which stand behind 16 bytes of its own."""
    given, at = {}, START
    for name in names:
        given[name], at = at, at + SIZES[name]
    linked = SimpleNamespace(given=given, data=Region(START - 16, bytes(at - START + 16)))
    return SimpleNamespace(linked=linked, info=SimpleNamespace(structures=structures))


def test_a_variable_of_the_kernel_is_zero_or_what_the_kernel_has_there() -> None:
    """Firmware is a device tree, and no address is one of the kernel's own image."""
    asks = image(
        "pgtable_l4_enabled", "acpi_disabled", "kernel_map", "vmemmap_start_pfn", structures={"kernel_mapping": MAPPING}
    )
    assert values_of(asks) == bytes(1) + b"\1\0\0\0" + bytes(8) + b"\xff" * 8 + bytes(240) + bytes(8)


def test_a_driver_that_asks_for_no_variable_or_does_not_know_its_members_is_given_zeroes() -> None:
    assert values_of(image(structures={})) == b""
    assert values_of(image("kernel_map", structures={})) == bytes(256)
