"""Several objects linked in memory: sections placed, symbols found, relocations applied.

```
CODE      text and constants: they never change, and are read by nobody but the CPU that runs them
DATA      variables: the loader's job is to put their first values into memory
OUTSIDE   a place for each function that the kernel provides; no code is there
```
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cosim.object.elf import (
    ALLOCATED,
    COMPRESSED,
    DEBUG_INFO,
    EXECUTABLE,
    WRITABLE,
    Relocatable,
    Relocation,
    Section,
    Symbol,
)
from cosim.object.relocate import KINDS, PCREL_HI20, PCREL_LO12, SET_ULEB128, SUB_ULEB128, OutOfReach, put_uleb128
from cosim.spec.page import PAGE

CODE = 0xFFFF_FFFF_8000_0000
OUTSIDE = CODE + 0x1000_0000
APART = 16
"""Bytes between two functions of the outside."""

LEFT_OUT = (
    ".alternative",
    "__jump_table",
    ".modinfo",
    "__ksymtab",
    "___ksymtab",
    ".export_symbol",
    ".discard",
    ".note",
)
"""Beginnings of the names of sections that only a running kernel reads."""
BUGS = "__bug_table"
DEBUG = (".debug_",)


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes at an address."""

    base: int
    data: bytes

    @property
    def end(self) -> int:
        return self.base + len(self.data)

    def __contains__(self, address: int) -> bool:
        return self.base <= address < self.base + len(self.data)

    def read(self, address: int, size: int) -> int:
        """A number of `size` bytes."""
        return int.from_bytes(self.data[address - self.base : address - self.base + size], "little")


@dataclass(frozen=True, slots=True)
class Linked:
    """What objects are once they are linked."""

    code: Region
    data: Region
    text: tuple[tuple[int, int], ...]
    """Where instructions are: beginnings and ends."""
    symbols: Mapping[str, int]
    """Addresses of what is defined, by name; of two local ones of a name the first."""
    functions: tuple[tuple[int, int, str], ...]
    """Beginning, size and name of each function, by address."""
    outside: Mapping[int, str]
    """The kernel's functions, by the address that stands for each."""
    given: Mapping[str, int]
    """The kernel's data, by name; it stands at the end of `data`."""
    bugs: Mapping[int, bool]
    """Where BUG and WARN have their EBREAK, and whether it is but a warning."""
    debug: tuple[tuple[str, bytes], ...]
    """Each file's name, and its bytes with the debugging information relocated."""

    def function_at(self, address: int) -> str:
        """The function that an address is in; empty if none."""
        for start, size, name in self.functions:
            if start <= address < start + max(size, 1):
                return name
        return ""


@dataclass
class _Placing:
    objects: Sequence[Relocatable]
    at: dict[tuple[int, int], int] = field(default_factory=dict)
    """Addresses of sections, by object and index."""
    bytes: dict[tuple[int, int], bytearray] = field(default_factory=dict)

    def place(self, base: int, wanted: Callable[[Section], bool]) -> tuple[int, list[tuple[int, int]]]:
        placed = []
        for number, one in enumerate(self.objects):
            for index, section in enumerate(one.sections):
                if section.size and section.flags & ALLOCATED and wanted(section) and not _left_out(section):
                    base = -(-base // section.align) * section.align
                    self.at[number, index] = base
                    self.bytes[number, index] = bytearray(section.data or bytes(section.size))
                    placed.append((number, index))
                    base += section.size
        return base, placed

    def region(self, base: int, end: int, placed: Sequence[tuple[int, int]]) -> Region:
        whole = bytearray(end - base)
        for key in placed:
            start = self.at[key] - base
            whole[start : start + len(self.bytes[key])] = self.bytes[key]
        return Region(base, bytes(whole))


def link(
    objects: Sequence[Relocatable], functions: Collection[str], data: Mapping[str, int], problems: list[str]
) -> Linked:
    """The objects as one; the kernel provides `functions`, and `data` of these sizes in bytes.

    All that is unknown is added to `problems`, in sentences; with any of them the result is not to be used.
    """
    problems += [problem for one in objects for problem in unfit(one)]
    placing = _Placing(objects)
    end, text = placing.place(CODE, lambda section: bool(section.flags & EXECUTABLE))
    end, constants = placing.place(end, lambda section: not section.flags & (EXECUTABLE | WRITABLE))
    data_base = -(-end // PAGE) * PAGE
    data_end, variables = placing.place(
        data_base, lambda section: section.flags & (EXECUTABLE | WRITABLE) == WRITABLE and section.name != BUGS
    )
    names = _Names(objects, placing.at)
    problems += names.problems
    outside: dict[str, int] = {}
    given: dict[str, int] = {}
    missing: dict[str, str] = {}
    for name, asks in names.undefined.items():
        if name in functions:
            outside[name] = OUTSIDE + APART * len(outside)
        elif name in data:
            data_end = -(-data_end // 8) * 8
            given[name] = data_end
            data_end += data[name]
        elif asks:
            missing[name] = asks
    if missing:
        asked = ", ".join(f"{name} ({asks})" for name, asks in sorted(missing.items()))
        problems.append(
            f"unknown to the kernel that drivers run on here: {asked}; build the tree without what asks for them, "
            "or add them with --kernel FILE.py"
        )
    bug_base = data_end + PAGE
    bug_end, bugs = placing.place(bug_base, lambda section: section.name == BUGS)
    names.addresses.update(outside)
    names.addresses.update(dict.fromkeys(missing, OUTSIDE))  # so that no more is said of them
    names.addresses.update(given)
    patch = _Patch(objects, placing, names)
    for key in (*text, *constants, *variables, *bugs):
        patch.section(*key)
    debug = tuple((str(one.path), patch.debug(number)) for number, one in enumerate(objects))
    problems += dict.fromkeys(patch.problems)
    return Linked(
        placing.region(CODE, end, [*text, *constants]),
        placing.region(data_base, data_end, variables),
        tuple((placing.at[key], placing.at[key] + len(placing.bytes[key])) for key in text),
        {**names.local, **names.addresses},
        tuple(sorted(names.functions)),
        {address: name for name, address in outside.items()},
        given,
        dict(_bugs(placing.region(bug_base, bug_end, bugs)) if bugs else ()),
        debug,
    )


def unfit(one: Relocatable) -> Iterator[str]:
    """What of an object's configuration cannot be run."""
    names = {symbol.name for symbol in one.symbols if symbol.section is None}
    if any(name.startswith(("__asan_", "__hwasan_", "kasan_")) for name in names):
        yield f"{one.path} is built with KASAN; build the tree with CONFIG_KASAN=n"
    if any(name.startswith(("__sanitizer_cov", "__tsan_", "__ubsan_handle")) for name in names):
        yield f"{one.path} is built with a sanitizer; build the tree without CONFIG_KCOV, CONFIG_KCSAN, CONFIG_UBSAN"
    pads = one.section("__patchable_function_entries") or one.section("__mcount_loc")
    if pads is not None or any(name.startswith("_mcount") for name in names):
        yield f"{one.path} has pads for ftrace; build the tree with CONFIG_FUNCTION_TRACER=n"
    info = one.section(DEBUG_INFO)
    if info is None:
        yield f"{one.path} has no debugging information; build the tree with CONFIG_DEBUG_INFO_DWARF5=y"
    elif info.flags & COMPRESSED:
        yield (
            f"{one.path} has its debugging information compressed; build the tree with "
            "CONFIG_DEBUG_INFO_COMPRESSED_NONE=y"
        )


def _left_out(section: Section) -> bool:
    return section.name.startswith(LEFT_OUT) or (section.name == BUGS and not section.relocations)


def _bugs(table: Region) -> Iterator[tuple[int, bool]]:
    """Entries of a table of bugs: two distances, a line, and flags of which the lowest says that it only warns."""
    for at in range(table.base, table.end - 11, 12):
        distance = table.read(at, 4)
        distance -= distance >> 31 << 32
        yield at + distance, bool(table.read(at + 10, 2) & 1)


class _Names:
    """The symbols of all objects, by name."""

    def __init__(self, objects: Sequence[Relocatable], at: Mapping[tuple[int, int], int]) -> None:
        self.addresses: dict[str, int] = {}
        self.local: dict[str, int] = {}
        self.functions: list[tuple[int, int, str]] = []
        self.problems: list[str] = []
        asked: dict[str, str] = {}
        where: dict[str, str] = {}
        for number, one in enumerate(objects):
            for symbol in one.symbols:
                if symbol.section is None:
                    if symbol.name and symbol.name != "_GLOBAL_OFFSET_TABLE_":
                        weak = symbol.bound == "WEAK"
                        asked[symbol.name] = asked.get(symbol.name) or ("" if weak else f"asked for by {one.path.name}")
                    continue
                address = symbol.value if symbol.section < 0 else at.get((number, symbol.section))
                if address is None or not symbol.name or symbol.kind in ("SECTION", "FILE"):
                    continue
                if symbol.section >= 0:
                    address += symbol.value
                if symbol.kind == "FUNC":
                    self.functions.append((address, symbol.size, symbol.name))
                if symbol.bound == "LOCAL":
                    self.local.setdefault(symbol.name, address)
                elif symbol.name in self.addresses and symbol.bound != "WEAK":
                    self.problems.append(
                        f"{symbol.name} is defined in {where[symbol.name]} and in {one.path}; name one"
                    )
                else:
                    self.addresses.setdefault(symbol.name, address)
                    where[symbol.name] = str(one.path)
        self.undefined = {name: asks for name, asks in asked.items() if name not in self.addresses}
        """What no object defines, and which asks for it; a weak one, which may be absent, has nobody that asks."""


class _Patch:
    """Applies the relocations of sections."""

    def __init__(self, objects: Sequence[Relocatable], placing: _Placing, names: _Names) -> None:
        self.objects = objects
        self.placing = placing
        self.names = names
        self.problems: list[str] = []

    def section(self, number: int, index: int) -> None:
        """A section that is placed."""
        key = number, index
        self._apply(number, self.objects[number].sections[index], self.placing.bytes[key], self.placing.at[key])

    def debug(self, number: int) -> bytes:
        """The whole file, with the sections of its debugging information patched where they stand."""
        one = self.objects[number]
        whole = bytearray(one.whole)
        for section in one.sections:
            if section.name.startswith(DEBUG) and section.relocations and not section.flags & COMPRESSED:
                data = bytearray(section.data)
                self._apply(number, section, data, 0)
                whole[section.at : section.at + len(data)] = data
        return bytes(whole)

    def _apply(self, number: int, section: Section, data: bytearray, base: int) -> None:
        symbols = self.objects[number].symbols
        highs = {
            base + one.offset: self._value(number, symbols[one.symbol]) + one.addend - (base + one.offset)
            for one in section.relocations
            if one.kind == PCREL_HI20
        }
        uleb: dict[int, int] = {}
        for one in section.relocations:
            value = self._value(number, symbols[one.symbol]) + one.addend
            if one.kind in (SET_ULEB128, SUB_ULEB128):
                if one.kind == SET_ULEB128:
                    uleb[one.offset] = value
                else:
                    put_uleb128(data, one.offset, uleb[one.offset] - value)
                continue
            kind = KINDS.get(one.kind)
            if kind is None:
                self._complain(number, section, one, f"has a relocation of kind {one.kind}, which is not known")
                continue
            place = base + one.offset
            if one.kind in PCREL_LO12:
                if value not in highs:
                    self._complain(number, section, one, f"{kind.name} has no PCREL_HI20 at {value:#x}")
                    continue
                value = highs[value]
            old = int.from_bytes(data[one.offset : one.offset + kind.size], "little")
            try:
                new = kind.patch(old, value, place) & (1 << 8 * kind.size) - 1
            except OutOfReach as error:
                self._complain(number, section, one, f"{kind.name} of {symbols[one.symbol].name}: {error}")
                continue
            data[one.offset : one.offset + kind.size] = new.to_bytes(kind.size, "little")

    def _complain(self, number: int, section: Section, one: Relocation, what: str) -> None:
        where = f"{self.objects[number].path}: {section.name}+{one.offset:#x}"
        self.problems.append(f"{where} {what}; build the kernel for RV64 without position-independent code")

    def _value(self, number: int, symbol: Symbol) -> int:
        if symbol.section is None:
            return self.names.addresses.get(symbol.name, 0)
        if symbol.section < 0:
            return symbol.value
        return self.placing.at.get((number, symbol.section), 0) + symbol.value
