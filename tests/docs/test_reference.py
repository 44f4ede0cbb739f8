"""The topology reference: every field is there, with its default, what may stand there, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from cosim.hw.cpu.options import CpuOptions
from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.hw.iommu.options import UNIMPLEMENTED, IommuOptions
from cosim.hw.memory.options import MemoryOptions
from cosim.system.topology import Topology

TEXT = (Path(__file__).parents[2] / "docs" / "topology-reference.md").read_text(encoding="utf-8")
LINES = TEXT.splitlines()


def rows(field: str) -> list[str]:
    return [line for line in LINES if line.startswith(f"| `{field}` |")]


def fields(model: type[BaseModel]) -> list[str]:
    """The fields of a model and of its groups, by the names that they have in a file."""
    names = []
    for name, field in model.model_fields.items():
        names.append(field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += fields(field.annotation)
    return names


@pytest.mark.parametrize("model", [Topology, MemoryOptions, CpuOptions, IommuOptions, DmaOptions, RingOptions])
def test_every_field_has_a_row(model: type[BaseModel]) -> None:
    for name in fields(model):
        assert rows(name) or name in UNIMPLEMENTED | {"kind"}, name


def test_a_row_says_default_kind_of_value_and_meaning() -> None:
    (row,) = rows("command_fetch")
    assert row == "| `command_fetch` | `20 ns` | time | To decode a command, after its read. |"
    (row,) = rows("walkers")
    assert row == "| `walkers` | `4` | integer, 1 to 1024 | Walks under way at the same time. |"


def test_capabilities_that_are_not_implemented_are_named_as_such() -> None:
    (line,) = (line for line in LINES if line.startswith("Not implemented"))
    for name in UNIMPLEMENTED:
        assert f"`{name}`" in line


def test_fields_that_all_threads_have_are_told_once() -> None:
    assert len(rows("on")) == len(rows("gap")) == 1


def test_every_field_means_something() -> None:
    for line in LINES:
        cells = line.split(" | ")
        if (
            line.startswith("| `")
            and len(cells) == 4
            and cells[0].strip("| `") not in {"min", "max", "equals", "count"}
        ):
            assert len(cells[3]) > 5, line
