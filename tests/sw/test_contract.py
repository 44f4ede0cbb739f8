"""What is said of a thing that does not keep a contract, and who keeps the contract of IOMMU drivers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from cosim.sw.contract import WrongAnswer, answer_of, breaches, members
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.table import ROWS
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_ops import IommuDriver
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import Machine


class Door(Protocol):
    color: str

    async def open(self, width: int, silently: bool) -> None: ...

    def is_open(self) -> bool: ...

    def guests(self) -> AsyncIterator[str]: ...


class Oak:
    color = "brown"

    async def open(self, how_wide, silently=False):
        pass

    def is_open(self):
        return False

    async def guests(self):
        yield "fox"


def test_a_contract_is_kept_by_methods_that_can_be_called_whatever_their_parameters_are_called() -> None:
    assert breaches(Door, Oak()) == []
    assert members(Door) == ["color", "open", "is_open", "guests"]


class Colorless:
    open, is_open, guests = Oak.open, Oak.is_open, Oak.guests


class Shut(Oak):
    open = None


class Painted(Oak):
    is_open = "yes"


class Hasty(Oak):
    def open(self, width, silently):
        pass


class Slow(Oak):
    async def is_open(self):
        return True


class Creaking(Oak):
    async def creak(self):
        pass


class Silent(Creaking):
    def creak(self):
        pass


class Narrow(Oak):
    async def open(self):
        pass


class Demanding(Oak):
    async def open(self, width, silently, key):
        pass


@pytest.mark.parametrize(
    ("door", "text"),
    [
        (Colorless, "it has no attribute color"),
        (Shut, "it has no method open(width, silently)"),
        (Painted, "its is_open is no method"),
        (Hasty, "its open is not async, and is awaited"),
        (Slow, "its is_open is async, and is not awaited"),
        (Silent, "its creak is not async, and is awaited"),
        (Narrow, "its open() cannot be called as open(width, silently)"),
        (Demanding, "its open(width, silently, key) cannot be called as open(width, silently)"),
    ],
)
def test_a_breach_is_told_with_the_name_of_the_member(door: type, text: str) -> None:
    assert breaches(Door, door()) == [text]


@pytest.mark.parametrize("row", ROWS)
def test_every_variant_keeps_the_contract_of_iommu_drivers(row: str) -> None:
    assert breaches(IommuDriver, Driver(Machine().kernel, variant(row))) == []


def test_so_does_the_driver_of_the_tests() -> None:
    assert breaches(IommuDriver, FakeDriver(Machine().kernel)) == []


@pytest.mark.parametrize(
    ("answer", "wanted", "said"),
    [
        (True, bool, ""),
        (3, int, ""),
        (True, int, "Oak.open returned True, which is not an int"),
        (1, bool, "Oak.open returned 1, which is not a bool"),
        (None, int, "Oak.open returned None, which is not an int"),
    ],
)
def test_an_answer_is_of_the_type_that_is_wanted_and_no_truth_is_a_number(
    answer: object, wanted: type, said: str
) -> None:
    if not said:
        assert answer_of(Oak.open, answer, wanted) is answer
        return
    with pytest.raises(WrongAnswer) as wrong:
        answer_of(Oak.open, answer, wanted)
    assert str(wrong.value) == said
