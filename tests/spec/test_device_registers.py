"""What software can change in the registers of devices."""

from __future__ import annotations

import pytest

from cosim.spec.bits import FieldAccess, Word
from cosim.spec.descriptor_ring import RingHead, RingIndex, RingStatus
from cosim.spec.dma_device import DmaStatus


@pytest.mark.parametrize(
    ("register", "name", "access"),
    [
        (DmaStatus, "on", FieldAccess.RO),
        (DmaStatus, "fault", FieldAccess.RW1C),
        (RingHead, "index", FieldAccess.RO),
        (RingIndex, "index", FieldAccess.RW),
        (RingStatus, "on", FieldAccess.RO),
        (RingStatus, "ip", FieldAccess.RW1C),
        (RingStatus, "fault", FieldAccess.RW1C),
    ],
)
def test_what_a_device_tells_is_not_written_over(register: type[Word], name: str, access: FieldAccess) -> None:
    assert getattr(register, name).access is access
