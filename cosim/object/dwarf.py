"""What debugging information says: structures with their members, enumerators, variables, and lines (DWARF 5)."""

from __future__ import annotations

import bisect
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cosim.object.elf import elftools
from cosim.object.inlined import Spot, calls, with_callers
from cosim.object.pointed import pointed


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a structure: where it is, in bytes, and what it is of.

    `kind` is int, pointer, array or the name of a structure; one that is a bit-field has `bits`, its lowest bit within
    `size` bytes and its width.
    """

    name: str
    offset: int
    size: int
    kind: str
    signed: bool = False
    bits: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure or union; members of anonymous ones inside it count as its own."""

    name: str
    size: int
    members: Mapping[str, Member]

    def member_at(self, offset: int) -> str:
        """The name of the member that a byte belongs to; its offset if none."""
        for member in self.members.values():
            if member.offset <= offset < member.offset + max(1, member.size):
                return member.name
        return f"+{offset:#x}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable with an address; `kind` as in `Member`."""

    name: str
    address: int
    kind: str


@dataclass(slots=True)
class DebugInfo:
    """The debugging information of all objects together."""

    structures: dict[str, Structure] = field(default_factory=dict)
    enumerators: dict[str, int] = field(default_factory=dict)
    variables: list[Variable] = field(default_factory=list)
    pointed: dict[str, set[str]] = field(default_factory=dict)
    """By the name of a function the structures that its variables point to, and those of what is inlined there."""
    addresses: list[int] = field(default_factory=list)
    """Where a line begins, sorted; `places` has the file and the line of each."""
    places: list[str] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    """Of each of them the line that sends a command there, if a function that sends is inlined."""

    def place(self, address: int) -> str:
        """The file and line of an instruction, such as ``iommu.c:934``; empty if unknown."""
        index = bisect.bisect_right(self.addresses, address) - 1
        return self.places[index] if index >= 0 else ""

    def sender(self, address: int) -> str:
        """The line that sends a command by this instruction, where functions that send are inlined; else its own."""
        index = bisect.bisect_right(self.addresses, address) - 1
        return self.senders[index] or self.places[index] if index >= 0 else ""

    def structure_of(self, function: str, size: int) -> str:
        """The structure of so many bytes that a variable of a function points to, if there is but one; else empty."""
        names = self.pointed.get(function.partition(".")[0], set())
        fitting = [name for name in names if name in self.structures and self.structures[name].size == size]
        return fitting[0] if len(fitting) == 1 else ""

    def member_at(self, structure: str, offset: int) -> str:
        """The path of the member that a byte belongs to, such as ``own_domain.domain.geometry.aperture_end``."""
        path, at = structure, self.structures.get(structure)
        while at is not None:
            name = at.member_at(offset)
            path += f".{name}"
            if name not in at.members:
                break
            offset, at = offset - at.members[name].offset, self.structures.get(at.members[name].kind)
        return path

    def field(self, path: str) -> Member:
        """A member by its path, such as ``device.iommu`` or ``iommu_domain.geometry.aperture_end``. KeyError."""
        first, *rest = path.split(".")
        structure, offset = self.structures[first], 0
        member: Member | None = None
        for name in rest:
            if member is not None:
                structure = self.structures[member.kind]
            member = structure.members[name]
            offset += member.offset
        if member is None:
            raise KeyError(path)
        return Member(path, offset, member.size, member.kind, member.signed, member.bits)


SPLIT = {"DW_AT_dwo_name", "DW_AT_GNU_dwo_name"}
"""What a compilation unit says whose debugging information is in another file, in DWARF 5 and before."""


def debug_info(files: Sequence[tuple[str, bytes]], problems: list[str]) -> DebugInfo:
    """What files with relocated debugging information say; that they are of different trees is one of `problems`."""
    elffile, found = elftools("elf.elffile"), DebugInfo()
    origin: dict[str, str] = {}
    differ: dict[str, list[str]] = {}
    lines: dict[int, tuple[str, str]] = {}
    for path, whole in files:
        try:
            info = elffile.ELFFile(io.BytesIO(whole)).get_dwarf_info(relocate_dwarf_sections=False)
            for unit in info.iter_CUs():
                if SPLIT & unit.get_top_DIE().attributes.keys():
                    problems.append(
                        f"{path} has its debugging information in a file of its own; build the tree with "
                        "CONFIG_DEBUG_INFO_SPLIT=n"
                    )
                    break
                reader = _Unit(unit)
                reader.read()
                for structure in reader.structures.values():
                    known = found.structures.setdefault(structure.name, structure)
                    origin.setdefault(structure.name, path)
                    if known != structure and origin[structure.name] != path:
                        differ.setdefault(path, []).append(structure.name)
                found.enumerators.update(reader.enumerators)
                found.variables += reader.variables
                for function, kinds in pointed(unit).items():
                    found.pointed.setdefault(function, set()).update(kinds)
                lines.update(_lines(info, unit))
        except Exception as error:  # pyelftools says in many ways that something is not as it should be
            problems.append(f"{path}: its debugging information cannot be read ({type(error).__name__}: {error})")
    for path, names in differ.items():
        problems.append(
            f"{path} is of another tree or configuration than {files[0][0]}, with another struct "
            f"{', struct '.join(names[:5])}{' and more' if len(names) > 5 else ''}; build both from one tree"
        )
    found.addresses = sorted(lines)
    found.places = [lines[address][0] for address in found.addresses]
    found.senders = [lines[address][1] for address in found.addresses]
    return found


def _lines(info: Any, unit: Any) -> Iterator[tuple[int, tuple[str, str]]]:
    """By address where each line of a compilation unit begins, which it is, and where it sends commands from.

    Behind the end of its code is no line.
    """
    program = info.line_program_for_CU(unit)
    if program is None:
        return
    named = list(_files(program))
    rows: dict[int, Spot] = {}
    for entry in program.get_entries():
        state = entry.state
        if state is not None:
            rows[state.address] = ("", 0) if state.end_sequence else (named[state.file], state.line)
    for one in with_callers(sorted(rows.items()), list(calls(info, unit, named))):
        yield one.address, (_line(one.spot), _line(one.sent) if one.sent else "")


def _line(spot: Spot) -> str:
    file, line = spot
    return f"{file.rpartition('/')[2]}:{line}" if file else ""


def _files(program: Any) -> Iterator[str]:
    """The files that a line table numbers, with their folders, from 0."""
    first = program["version"] < 5  # which numbers from 1, and folders likewise
    folders = [_decoded(folder) for folder in program["include_directory"]]
    if first:
        folders.insert(0, "")
        yield ""
    for entry in program["file_entry"]:
        folder = folders[entry.dir_index] if entry.dir_index < len(folders) else ""
        yield f"{folder}/{_decoded(entry.name)}"


def _decoded(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


class _Unit:
    """Reads the types, enumerators and variables of a compilation unit."""

    def __init__(self, unit: Any) -> None:
        self._unit = unit
        self.structures: dict[str, Structure] = {}
        self.enumerators: dict[str, int] = {}
        self.variables: list[Variable] = []

    def read(self) -> None:
        """All of it."""
        for die in self._unit.get_top_DIE().iter_children():
            tag = die.tag
            if tag in ("DW_TAG_structure_type", "DW_TAG_union_type") and "DW_AT_name" in die.attributes:
                if "DW_AT_declaration" not in die.attributes:
                    structure = self._structure(die)
                    self.structures.setdefault(structure.name, structure)
            elif tag == "DW_TAG_enumeration_type":
                for one in die.iter_children():
                    if one.tag == "DW_TAG_enumerator":
                        self.enumerators[_text(one, "DW_AT_name")] = _number(one, "DW_AT_const_value")
            elif tag == "DW_TAG_variable":
                self._variable(die)

    def _variable(self, die: Any) -> None:
        location = die.attributes.get("DW_AT_location")
        if location is None:
            return
        told = die
        if "DW_AT_specification" in die.attributes:
            told = die.get_DIE_from_attribute("DW_AT_specification")
        where = location.value
        if "DW_AT_type" in told.attributes and isinstance(where, list) and len(where) == 9 and where[0] == 0x03:
            kind, _, _ = self._type(told)
            self.variables.append(Variable(_text(told, "DW_AT_name"), int.from_bytes(bytes(where[1:]), "little"), kind))

    def _structure(self, die: Any) -> Structure:
        members: dict[str, Member] = {}
        for child in die.iter_children():
            if child.tag == "DW_TAG_member":
                for member in self._members(child):
                    members.setdefault(member.name, member)
        return Structure(_text(die, "DW_AT_name"), _number(die, "DW_AT_byte_size"), members)

    def _members(self, die: Any) -> Iterator[Member]:
        offset = _number(die, "DW_AT_data_member_location")
        kind, size, signed = self._type(die)
        if "DW_AT_name" in die.attributes:
            bits = None
            if "DW_AT_data_bit_offset" in die.attributes:
                place = _number(die, "DW_AT_data_bit_offset")
                offset = place // 8 // size * size
                bits = (place - 8 * offset, _number(die, "DW_AT_bit_size"))
            yield Member(_text(die, "DW_AT_name"), offset, size, kind, signed, bits)
            return
        inner = self._resolved(die)
        for child in inner.iter_children():
            if child.tag == "DW_TAG_member":
                for member in self._members(child):
                    yield Member(
                        member.name, offset + member.offset, member.size, member.kind, member.signed, member.bits
                    )

    def _resolved(self, die: Any) -> Any:
        """What a DIE's type is, behind typedefs and qualifiers."""
        while True:
            if "DW_AT_type" not in die.attributes:
                return None
            die = die.get_DIE_from_attribute("DW_AT_type")
            if die.tag not in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type",
                               "DW_TAG_atomic_type"):  # fmt: skip
                return die

    def _type(self, die: Any) -> tuple[str, int, bool]:
        """Kind, size and whether it is signed."""
        of = self._resolved(die)
        if of is None:
            return "void", 0, False
        if of.tag in ("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_class_type"):
            name = _text(of, "DW_AT_name") if "DW_AT_name" in of.attributes else "struct"
            return name, _number(of, "DW_AT_byte_size"), False
        if of.tag == "DW_TAG_pointer_type":
            return "pointer", 8, False
        if of.tag == "DW_TAG_array_type":
            _, size, _ = self._type(of)
            count = 1
            for child in of.iter_children():
                if child.tag == "DW_TAG_subrange_type":
                    if "DW_AT_upper_bound" in child.attributes:
                        count *= _number(child, "DW_AT_upper_bound") + 1
                    else:
                        count *= _number(child, "DW_AT_count")
            return "array", size * count, False
        encoding = _number(of, "DW_AT_encoding")
        return "int", _number(of, "DW_AT_byte_size"), encoding in (0x05, 0x06, 0x0D)


def _text(die: Any, name: str) -> str:
    value = die.attributes[name].value
    return value.decode() if isinstance(value, bytes) else str(value)


def _number(die: Any, name: str) -> int:
    attribute = die.attributes.get(name)
    return attribute.value if attribute is not None and isinstance(attribute.value, int) else 0
