"""A small system that the small driver in C drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sw.driver.machine import OBJECTS, SMALL_QUEUES, STANDS_FOR, Machine

DRIVER = Path(__file__).parents[2] / "object" / "driver"
MESSAGES: dict[str, Any] = {"messages": True, "iommu": {"capabilities": {"igs": "both"}, "geometry": SMALL_QUEUES}}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Machine:
    """Interrupts are wires, or messages where a test asks for them."""
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    return Machine(STANDS_FOR, **(MESSAGES if getattr(request, "param", False) else {}))
