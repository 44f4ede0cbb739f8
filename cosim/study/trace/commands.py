"""Commands and register words as the manual writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosim.spec.queues import IllegalCommandError, decode
from cosim.spec.registers import Capabilities

EVERYTHING = Capabilities(-1 & Capabilities.MASK)
"""An IOMMU that has every capability, so that each command can be named."""


def command_name(words: tuple[int, ...]) -> str:
    """The mnemonic of a command: ``IOTINVAL.VMA``."""
    return command_text(words).split(" ")[0].removesuffix(":")


def command_text(words: tuple[int, ...]) -> str:
    """A command as the manual writes it, with the operands that are not 0: ``IOTINVAL.VMA pscv=0x1 pscid=0x5``."""
    try:
        command = decode(words, EVERYTHING)
    except IllegalCommandError as error:
        return f"illegal: {error}"
    operands = {name: value for name, value in command.fields().items() if name not in ("opcode", "func3")}
    return " ".join([command.mnemonic, *not_zero(operands)])


def not_zero(values: Mapping[str, int]) -> Iterator[str]:
    """``name=0x...`` of each value that is not 0."""
    return (f"{name}={value:#x}" for name, value in values.items() if value)
