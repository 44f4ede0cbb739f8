"""Which structures the variables of each function point to: what an object may be that is allocated there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUALIFIERS = ("DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type", "DW_TAG_typedef")
VARIABLES = ("DW_TAG_variable", "DW_TAG_formal_parameter")
BLOCKS = ("DW_TAG_inlined_subroutine", "DW_TAG_lexical_block")


def pointed(unit: Any) -> Mapping[str, set[str]]:
    """By the name of each function of a compilation unit with code of its own; what is inlined there counts as its."""
    found: dict[str, set[str]] = {}
    named: dict[int, str] = {}
    for die in unit.get_top_DIE().iter_children():
        if die.tag == "DW_TAG_subprogram" and ("DW_AT_low_pc" in die.attributes or "DW_AT_ranges" in die.attributes):
            names = found.setdefault(_name(_origin(die)), set())
            stack = [die]
            while stack:
                for child in stack.pop().iter_children():
                    if child.tag in BLOCKS:
                        stack.append(child)
                    elif child.tag in VARIABLES:
                        name = _pointed(_origin(child), named)
                        if name:
                            names.add(name)
    return found


def _pointed(variable: Any, named: dict[int, str]) -> str:
    """The structure that a variable points to; empty for any other."""
    kind = variable.attributes.get("DW_AT_type")
    if kind is None:
        return ""
    if kind.value not in named:
        pointer = _behind(variable)
        to = _behind(pointer) if pointer is not None and pointer.tag == "DW_TAG_pointer_type" else None
        named[kind.value] = _name(to) if to is not None and to.tag == "DW_TAG_structure_type" else ""
    return named[kind.value]


def _behind(die: Any) -> Any:
    """The type of a DIE, behind qualifiers."""
    while "DW_AT_type" in die.attributes:
        die = die.get_DIE_from_attribute("DW_AT_type")
        if die.tag not in QUALIFIERS:
            return die
    return None


def _origin(die: Any) -> Any:
    while "DW_AT_abstract_origin" in die.attributes:
        die = die.get_DIE_from_attribute("DW_AT_abstract_origin")
    return die


def _name(die: Any) -> str:
    name = die.attributes.get("DW_AT_name")
    return name.value.decode() if name is not None else ""
