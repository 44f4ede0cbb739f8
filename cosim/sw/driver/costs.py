"""What the driver's own instructions cost, beside its memory and register accesses."""

from __future__ import annotations

from cosim.units.field_types import PositiveTime, Time
from cosim.units.options import Options
from cosim.units.quantities import NS, US


class DriverCosts(Options):
    """What the driver's own instructions cost, beside its memory and register accesses (assumptions: sweep them)."""

    call: Time = 30 * NS
    """To enter and leave an entry point."""
    pte: Time = 5 * NS
    """To compute a page-table entry, or judge one."""
    command: Time = 10 * NS
    """To build a command."""
    spin: PositiveTime = 10 * NS
    """Between two looks at a word that another CPU is to change."""
    instruction: Time = NS // 2
    """An instruction of a compiled driver, beside its accesses; a driver of policies has the other costs instead."""
    csr_poll: PositiveTime = 10 * US
    """Between two looks at a register that the IOMMU is to change (Linux: 10 us)."""
