"""Pydantic's findings in our own words: what was found, the rule, and the nearest right answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import WithJsonSchema
from pydantic.fields import FieldInfo

from cosim.config.shape import Types, alternatives, choices_of, fields_of, is_model, tags
from cosim.units.nearest import closest, nearest
from cosim.units.quantities import UnitError, format_like, parse_count, show


@dataclass(frozen=True)
class Finding:
    """One error of pydantic: its type and context, the value it is about, and the types expected there."""

    type: str
    context: dict[str, Any]
    text: str
    value: Any
    expected: Types
    siblings: dict[str, FieldInfo]
    name: str

    @property
    def is_mismatch(self) -> bool:
        """Whether the value is of another type than expected, so that another alternative may have been meant."""
        return self.type in EXPECTED

    @property
    def message(self) -> str:
        """The error in words for the user, without its place."""
        if self.is_mismatch:
            return mismatch([self])
        return WORDS.get(self.type, _otherwise)(self)


FEW = 2
"""Of so many fields, a bare text is surely meant for the first."""

EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("string_type", "string_sub_type"), "text"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type"), "a mapping"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dataclass_type"), "a mapping of fields"),
    "none_required": "nothing",
}


def mismatch(findings: list[Finding]) -> str:
    """That a value is of none of the types that each finding expected."""
    *others, last = dict.fromkeys(EXPECTED[finding.type] for finding in findings)
    expected = f"{', '.join(others)} or {last}" if others else last
    value = findings[0].value
    if expected == "a mapping of fields" and isinstance(value, str) and (name := _first_text(findings[0].expected)):
        return f"expected {expected}, found {value}; write {{{name}: {value}}}"
    return f"expected {expected}, found {show(value)}{_remedy(expected, value)}"


def _first_text(expected: Types) -> str:
    """The name of the first field of the model that is expected, if it has few and that one may be a text."""
    fields = fields_of(expected)
    first = next(iter(fields), "")
    return first if 0 < len(fields) <= FEW and str in alternatives(fields[first].annotation) else ""


def _remedy(expected: str, value: Any) -> str:
    if expected == "true or false" and isinstance(value, str):
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.lower())
        return f"; write {meant}" if meant else ""
    if expected == "a list" and isinstance(value, dict):
        return "; begin each entry with `- `"
    if expected == "text" and isinstance(value, (int, float)):
        return f"; quote it: '{show(value)}'"
    if "number" in expected and isinstance(value, str):
        try:
            parse_count(value)
        except UnitError:
            return ""
        return " as text; leave out the quotes"
    return ""


def _missing(finding: Finding) -> str:
    example = example_of(finding.siblings.get(finding.name))
    return f"missing; write for example `{finding.name}: {example}`" if example else "missing"


def _unknown_field(finding: Finding) -> str:
    return f"unknown field; {nearest(finding.name, finding.siblings)}"


def _no_choice(finding: Finding) -> str:
    choices = [show(choice) for choice in choices_of(finding.expected)]
    choices = choices or re.findall(r"'([^']*)'", str(finding.context.get("expected", "")))
    return f"{show(finding.value)} is not possible here; {nearest(show(finding.value), choices)}"


def _unknown_tag(finding: Finding) -> str:
    field = discriminator(finding)
    choices = [show(tag) for tag in tags(finding.expected, field)]
    near = closest(show(finding.value), choices)
    found = f"unknown kind {show(finding.value)}" if field == "kind" else f"{show(finding.value)} is unknown here"
    hint = f"did you mean {near}? There are: " if near else "there are: "
    return f"{found}; {hint}{', '.join(choices)}"


def _missing_tag(finding: Finding) -> str:
    return f"missing; one of: {', '.join(map(show, tags(finding.expected, discriminator(finding))))}"


def discriminator(finding: Finding) -> str:
    """The field that tells the models of a union apart."""
    return str(finding.context.get("discriminator", "")).strip("'").removesuffix("()")


def _bound(rule: str, key: str) -> Callable[[Finding], str]:
    def words(finding: Finding) -> str:
        limit = finding.context[key]
        like = format_like(finding.value, limit) if isinstance(finding.value, str) else show(limit)
        return f"{show(finding.value)} is out of bounds: it must be {rule} {like}"

    return words


def _length(rule: str, key: str) -> Callable[[Finding], str]:
    def words(finding: Finding) -> str:
        what = "characters" if isinstance(finding.value, str) else "entries"
        return f"has {len(finding.value or ())} {what}, and must have {rule} {finding.context[key]}"

    return words


def _raised(finding: Finding) -> str:
    """What a validator of a model says itself, which is for the user already."""
    return str(finding.context.get("error") or finding.text)


def _otherwise(finding: Finding) -> str:
    if match := re.fullmatch(r"Input should be (?:an? )?(?:valid )?(.*)", finding.text):
        return f"expected {match[1]}, found {show(finding.value)}"
    return f"{show(finding.value)} is not possible here: {finding.text[:1].lower()}{finding.text[1:]}"


WORDS: dict[str, Callable[[Finding], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_field,
    "literal_error": _no_choice,
    "enum": _no_choice,
    "is_instance_of": _no_choice,
    "union_tag_invalid": _unknown_tag,
    "union_tag_not_found": _missing_tag,
    "greater_than": _bound("above", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("below", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "multiple_of": _bound("a multiple of", "multiple_of"),
    "string_too_short": _length("at least", "min_length"),
    "string_too_long": _length("at most", "max_length"),
    "too_short": _length("at least", "min_length"),
    "too_long": _length("at most", "max_length"),
    "value_error": _raised,
    "assertion_error": _raised,
}


def example_of(field: FieldInfo | None) -> str:
    """A right value of a field; empty if none is known."""
    if field is None:
        return ""
    for note in (*field.metadata, *_notes(field.annotation)):
        if isinstance(note, WithJsonSchema) and note.json_schema:
            return str(note.json_schema["examples"][0])
    if field.examples:
        return show(field.examples[0])
    expected = alternatives(field.annotation)
    if choices := choices_of(expected):
        return show(choices[0])
    if any(is_model(type_) for type_ in expected):
        required = {name: example_of(one) for name, one in fields_of(expected[:1]).items() if one.is_required()}
        return f"{{{', '.join(f'{name}: {example}' for name, example in required.items())}}}"
    return {int: "1", float: "1.0", bool: "true", str: ""}.get(expected[0], "") if expected else ""


def _notes(annotation: Any) -> tuple[Any, ...]:
    """What is attached to a type, or to the alternatives of a union, by Annotated."""
    if get_origin(annotation) is Annotated:
        return tuple(get_args(annotation)[1:])
    return tuple(note for argument in get_args(annotation) for note in _notes(argument))
