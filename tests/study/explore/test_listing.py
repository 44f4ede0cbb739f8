"""The list of what may be held in a run, and of what each effect touches."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from cosim.sim.footprints import Every, words
from cosim.study.explore.explore import first_cells
from cosim.study.explore.listing import listing, spelled
from cosim.study.explore.request import Request
from cosim.study.pool import Pool, Record
from cosim.study.run.result import Outcome
from tests.study.explore.systems import written


@pytest.mark.parametrize("outcome", ["error", "late", "lost", "void"])
def test_a_run_that_came_to_no_end_has_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    record = Record(cast(Outcome, outcome), ("so it was",))
    monkeypatch.setattr(Pool, "runs", lambda pool, points: [(point, record) for point in points])
    (cell,) = first_cells([written(tmp_path)], Request())
    with pytest.raises(RuntimeError, match=r"^so it was$"):
        list(listing(cell))


def test_what_is_touched_is_an_address_a_range_up_to_its_last_byte_or_a_name() -> None:
    touched = [*words(0x8000, 8), *words(0x8000, 64), ("iommu0", "cqt"), Every("iommu0", "iotlb")]
    assert list(map(spelled, touched)) == ["0x8000", "0x8000..0x803f", "iommu0.cqt", "iommu0.iotlb.*"]
