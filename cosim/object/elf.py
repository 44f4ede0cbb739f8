"""An ELF relocatable object as it is read from its file: sections, symbols, relocations. Nothing is linked yet."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosim.object.errors import ObjectError

RISCV = 243
"""EM_RISCV (riscv-elf-psabi, "File Header")."""

ALLOCATED, WRITABLE, EXECUTABLE, COMPRESSED = 0x2, 0x1, 0x4, 0x800
"""Flags of sections."""

DEBUG_INFO = ".debug_info"
SYMTAB, RELA, NOBITS = 2, 4, 8
"""Kinds of sections."""

KINDS = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 3: "SECTION", 4: "FILE"}
BOUNDS = {0: "LOCAL", 1: "GLOBAL", 2: "WEAK"}
RESERVED = 0xFF00
"""Indices of sections from here on are none."""

_HEADER = struct.Struct("<40xQ12xHH")
"""Where the headers of sections are, how many, and which of them holds their names."""
_SECTION = struct.Struct("<IIQQQQIIQQ")
"""Name, kind, flags, address, offset, size, link, info, alignment, size of an entry."""
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

RELOCATABLE = 1
MACHINES = {3: "x86", 62: "x86-64", 40: "Arm", 183: "AArch64", 8: "MIPS", 21: "PowerPC64", 22: "s390", 258: "LoongArch"}
"""Names of the machines that a wrong file is likely to be for."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol; `section` is the index of the one it is defined in, None where it is not, -1 for an absolute value."""

    name: str
    value: int
    size: int
    section: int | None
    kind: str
    """NOTYPE, OBJECT, FUNC, SECTION or FILE."""
    bound: str
    """LOCAL, GLOBAL or WEAK."""


@dataclass(frozen=True, slots=True)
class Relocation:
    """What is to be patched at `offset` of a section; `symbol` is an index."""

    offset: int
    kind: int
    symbol: int
    addend: int


@dataclass(frozen=True, slots=True)
class Section:
    """A section with its bytes, empty for one that holds zeroes only (`size` says how many)."""

    name: str
    flags: int
    align: int
    size: int
    data: bytes
    relocations: tuple[Relocation, ...]
    at: int
    """Where its bytes are in the file."""


@dataclass(frozen=True, slots=True)
class Relocatable:
    """One object file."""

    path: Path
    whole: bytes
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def section(self, name: str) -> Section | None:
        """The first section of a name."""
        return next((section for section in self.sections if section.name == name), None)


def elftools(what: str) -> Any:
    """A module of pyelftools, such as ``elf.elffile``. ObjectError with the extra that brings it."""
    try:
        return importlib.import_module(f"elftools.{what}")
    except ImportError:
        message = "objects are read with pyelftools, which is not installed: pip install 'cosim[kernel]'"
        raise ObjectError([message]) from None


def read(path: Path, whole: bytes) -> Relocatable:
    """The object that the file `path` holds. ObjectError if it is none of RV64, or was cut short."""
    if whole[:4] != b"\x7fELF":
        raise ObjectError([f"{path} is no ELF object; name the .o files of the driver that the kernel's tree built"])
    _fits(path, whole)
    try:
        return _read(path, whole)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ObjectError([f"{path} is damaged ({error}); build it again"]) from None


def _fits(path: Path, whole: bytes) -> None:
    """What the first bytes say, before anybody reads more."""
    if len(whole) < 64:
        raise ObjectError([f"{path} was cut short: it has {len(whole)} bytes, and no whole ELF header; build it again"])
    if whole[5] != 1:
        raise ObjectError([f"{path} is big-endian; RISC-V Linux is little-endian: name an object of an RV64 kernel"])
    machine = int.from_bytes(whole[18:20], "little")
    if machine != RISCV:
        name = MACHINES.get(machine, f"machine {machine}")
        raise ObjectError([f"{path} is for {name}, and not for RISC-V; build the tree with ARCH=riscv"])
    if whole[4] != 2:
        raise ObjectError([f"{path} is for RV32; only RV64 is known here: build a 64-bit kernel (CONFIG_64BIT=y)"])
    if int.from_bytes(whole[16:18], "little") != RELOCATABLE:
        what = f"{path} is linked already (a vmlinux, a program or a library)"
        raise ObjectError([f"{what}; name the driver's relocatable objects, such as drivers/iommu/riscv/iommu.o"])
    end = int.from_bytes(whole[40:48], "little") + int.from_bytes(whole[58:60], "little") * int.from_bytes(
        whole[60:62], "little"
    )
    if end > len(whole):
        raise ObjectError(
            [f"{path} was cut short: it has {len(whole)} bytes of at least {end}; copy it again, or build it again"]
        )


def _read(path: Path, whole: bytes) -> Relocatable:
    at, count, strings = _HEADER.unpack_from(whole)
    headers = [_SECTION.unpack_from(whole, at + number * _SECTION.size) for number in range(count)]
    for _, kind, _, _, offset, size, *_ in headers:
        if kind != NOBITS and offset + size > len(whole):
            raise ObjectError(
                [f"{path} was cut short: it has {len(whole)} bytes of at least {offset + size}; build it again"]
            )
    contents = [b"" if header[1] in (NOBITS, 0) else whole[header[4] : header[4] + header[5]] for header in headers]
    symbols: tuple[Symbol, ...] = ()
    relocations: dict[int, tuple[Relocation, ...]] = {}
    for header, data in zip(headers, contents, strict=True):
        if header[1] == SYMTAB:
            symbols = tuple(_symbols(data, contents[header[6]]))
        elif header[1] == RELA:
            relocations[header[7]] = tuple(
                Relocation(offset, info & 0xFFFF_FFFF, info >> 32, addend)
                for offset, info, addend in _RELOCATION.iter_unpack(data)
            )
    if len(symbols) < 2:
        raise ObjectError([f"{path} is stripped: it has no symbols; name the object as the tree built it"])
    sections = tuple(
        Section(_string(contents[strings], name), flags, max(1, align), size, data, relocations.get(number, ()), offset)
        for number, ((name, _, flags, _, offset, size, _, _, align, _), data) in enumerate(
            zip(headers, contents, strict=True)
        )
    )
    return Relocatable(path, whole, sections, symbols)


def _symbols(data: bytes, names: bytes) -> Iterator[Symbol]:
    for name, info, _, index, value, size in _SYMBOL.iter_unpack(data):
        section = None if not index else -1 if index >= RESERVED else index
        kind, bound = KINDS.get(info & 15, "OTHER"), BOUNDS.get(info >> 4, "OTHER")
        yield Symbol(_string(names, name), value, size, section, kind, bound)


def _string(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()
