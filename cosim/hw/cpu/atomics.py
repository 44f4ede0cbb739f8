"""The arithmetic of atomic operations (Unprivileged, "A" extension; compare-and-swap of Zacas)."""

from __future__ import annotations

from cosim.sim.operations import Amo


def combine(kind: Amo, old: int, value: int, size: int) -> int:
    """What an atomic of `size` bytes leaves where `old` was; minimum and maximum are of signed numbers."""
    bits = 8 * size
    mask = (1 << bits) - 1
    value &= mask
    match kind:
        case Amo.SWAP | Amo.CAS:
            return value
        case Amo.ADD:
            return old + value & mask
        case Amo.AND:
            return old & value
        case Amo.OR:
            return old | value
        case Amo.XOR:
            return old ^ value
        case Amo.MIN:
            return min(old, value, key=lambda number: _signed(number, bits))
        case Amo.MAX:
            return max(old, value, key=lambda number: _signed(number, bits))


def _signed(number: int, bits: int) -> int:
    return number - ((number >> bits - 1) << bits)
