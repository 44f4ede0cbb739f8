"""What the bar of a search says: no name of a driver leaves it without room."""

from __future__ import annotations

import pytest

from cosim.study.explore.row import Row
from cosim.study.report.search_progress import SearchProgress


@pytest.mark.parametrize(
    ("driver", "shown"),
    [
        ("merged", "merged"),
        ("object:/a/tree/drivers/iommu/own.o", "object:own.o"),
        ("object:/a/tree/riscv/iommu.o,/a/tree/riscv/iommu-platform.o", "object:iommu.o,iommu-..."),
    ],
)
def test_a_driver_of_objects_is_named_without_folders_and_in_few_characters(
    monkeypatch: pytest.MonkeyPatch, driver: str, shown: str
) -> None:
    told: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr(SearchProgress, "at", lambda self, *what: told.append(what))
    row = Row("races", driver, "", (), None, 0, "")
    row.by_level = [1, 3]
    SearchProgress(shown=True).ran(row, 4)
    assert told == [(f"races, {shown}, k=1", 3, 7)]
