"""The kernel log: formats of printk, with their arguments in registers and on the stack."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping

from cosim.sw.object_driver.call import Call, Function
from cosim.units.quantities import S

DIRECTIVE = re.compile(r"%(?P<flags>[-+ #0]*)(?P<width>\d+)?(\.\d+)?(?P<length>hh|h|ll|l|z|t|L)?(?P<kind>.)")
"""A directive of a format: flags, width, precision, length, and what is shown."""


INTERVAL_PS, BURST = 5 * S, 10
"""Linux's rate limit (DEFAULT_RATELIMIT_INTERVAL and _BURST)."""


async def text_of(call: Call, number: int) -> str:
    """The message whose format is the argument `number`, and whose arguments follow."""
    found, position, following = [], 0, number + 1
    text = await string_at(call, call[number])
    for one in DIRECTIVE.finditer(text):
        found.append(text[position : one.start()])
        position = one.end()
        kind = one["kind"]
        if kind == "%":
            found.append("%")
            continue
        value = call[following]
        following += 1
        if kind == "p" and text[position : position + 1] == "e":
            position += 1
            kind = "e"
        found.append(await _shown(call, one, kind, value))
    return "".join([*found, text[position:]]).rstrip("\n")


async def _shown(call: Call, one: re.Match[str], kind: str, value: int) -> str:
    bits = {"hh": 8, "h": 16, None: 32}.get(one["length"], 64)
    flags, width = one["flags"], one["width"] or ""
    if kind == "s":
        return await string_at(call, value)
    if kind == "e":
        return f"-{errno.errorcode.get(-_signed(value, 64), _signed(value, 64))}"
    if kind == "p":
        return f"{value:#x}"
    if kind == "c":
        return chr(value & 0xFF)
    value &= (1 << bits) - 1
    if kind in "di":
        value = _signed(value, bits)
    zero = "0" if "0" in flags else ""
    form = {"x": "x", "X": "X", "o": "o"}.get(kind, "d")
    return format(value, f"{'#' if '#' in flags and form == 'x' else ''}{zero}{width}{form}")


def _signed(value: int, bits: int) -> int:
    return value - (value >> bits - 1 << bits)


async def string_at(call: Call, address: int) -> str:
    """A string, wherever it is."""
    if address in call.machine.image.code:
        return call.machine.image.string(address)
    if not address:
        return "(null)"
    found = bytearray()
    while byte := await call.load(address + len(found), 1):
        found.append(byte)
    return found.decode(errors="replace")


def _printing(level: str) -> Function:
    async def log(call: Call) -> None:
        call.machine.complained |= level == "error"
        call.machine.kernel.log(level, await text_of(call, 1), call.machine.name(call[0]))

    return log


async def _err_probe(call: Call) -> int:
    error = call.signed(1)
    name = errno.errorcode.get(-error, str(-error))
    call.machine.complained = True
    call.machine.kernel.log("error", f"error -{name}: {await text_of(call, 2)}", call.machine.name(call[0]))
    return error


async def _ratelimit(call: Call) -> int:
    """Whether a message may be printed: so many in an interval."""
    machine, now = call.machine, call.machine.kernel.sim.now
    began, asked = machine.complaints.get(call[0], (now, 0))
    if now - began >= INTERVAL_PS:
        began, asked = now, 0
    machine.complaints[call[0]] = (began, asked + 1)
    return int(asked < BURST)


FUNCTIONS: Mapping[str, Function] = {
    "_dev_err": _printing("error"),
    "_dev_warn": _printing("warning"),
    "_dev_info": _printing("info"),
    "dev_err_probe": _err_probe,
    "___ratelimit": _ratelimit,
}
