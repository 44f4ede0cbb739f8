"""Conformance scenarios: JSON lines that say what software, devices and memory may observe of an IOMMU.

One line is one scenario: capabilities and hardwired values, then steps in strict order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field, PlainValidator, ValidationError, model_validator

from cosim.hw.iommu.warl import Reset
from cosim.spec.register_map import IOHPMCTR
from cosim.spec.registers import Capabilities, Ddtp, Fctl, Icvec, Iohpmctr, Iohpmevt, IommuMode, IommuQosid, QueueBase
from cosim.study.conform.forms import Bit, Form, Number, known, told, unknown, upto, worst
from cosim.study.conform.json_lines import json_value, lines
from cosim.study.conform.steps import Step

_CAPABILITIES = [field.manual for field in Capabilities.FIELDS.values()]
STEPS: dict[str, type[Form]] = {get_args(form.model_fields["op"].annotation)[0]: form for form in get_args(Step)}
"""The form of each step, by its `op`."""


class ConformanceError(Exception):
    """A file does not hold what it should: the text says which, where and why."""


class HardwiredForm(Form):
    """The fields of `Reset` that a scenario may set."""

    fctl: Annotated[int, PlainValidator(upto(Fctl.MASK))] = 0
    ddtp_iommu_mode: Annotated[int, PlainValidator(upto(IommuMode.BARE))] = 0
    ddtp_max_iommu_mode: Annotated[int, PlainValidator(upto(IommuMode.LVL3))] = 0
    hpm_event_counters: Annotated[int, PlainValidator(upto(len(IOHPMCTR)))] = 0
    hpm_counter_bits: Annotated[int, PlainValidator(upto(Iohpmctr.WIDTH))] = 0
    hpm_max_event_id: Annotated[int, PlainValidator(upto(Iohpmevt.eventid.ones))] = 0
    icvec_bits: Annotated[int, PlainValidator(upto(Icvec.civ.width))] = 0
    gxl_writable: Bit = 0
    be_writable: Bit = 0
    qosid_mask: Annotated[int, PlainValidator(upto(IommuQosid.MASK))] = 0
    ddtp_ppn: Annotated[int, PlainValidator(upto(Ddtp.ppn.ones))] = 0
    cqb_ppn: Annotated[int, PlainValidator(upto(QueueBase.ppn.ones))] = 0
    fqb_ppn: Annotated[int, PlainValidator(upto(QueueBase.ppn.ones))] = 0
    pqb_ppn: Annotated[int, PlainValidator(upto(QueueBase.ppn.ones))] = 0


class Scenario(Form):
    """One line of a file."""

    name: str
    group: str
    note: str = ""
    source: str = ""
    caps: dict[Annotated[str, AfterValidator(lambda key: known(key, _CAPABILITIES))], Number]
    caps_raw: Number | None = None
    hardwired: HardwiredForm = Field(default=HardwiredForm(), alias="reset")
    steps: list[Annotated[Step, Field(discriminator="op")]]

    @model_validator(mode="after")
    def _agreeing(self) -> Scenario:
        found = self.capabilities
        if self.caps_raw is not None and self.caps_raw != found:
            raise ValueError(f"caps are {int(found):#x}, caps_raw is {self.caps_raw:#x}")
        return self

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the IOMMU offers."""
        return Capabilities.named(self.caps)

    @cached_property
    def reset(self) -> Reset:
        """What is hardwired, and what registers hold after reset; as `Reset` says where the scenario does not."""
        return Reset(**self.hardwired.model_dump(include=self.hardwired.model_fields_set))


def parse(record: Any) -> Scenario:
    """The scenario that a JSON value describes; ValueError says what is wrong with it."""
    try:
        return Scenario.model_validate(record)
    except ValidationError as error:
        raise ValueError(_told(worst(error))) from None


def _told(detail: Mapping[str, Any]) -> str:
    """What is wrong with a scenario, behind its place."""
    place = detail["loc"]
    if place[:1] == ("steps",) and len(place) > 1:
        where = f"step {place[1]}: "
        if detail["type"] in ("union_tag_not_found", "model_attributes_type"):
            return f"{where}a step is an object with an 'op'"
        if detail["type"] == "union_tag_invalid":
            return where + unknown("op", detail["input"]["op"], STEPS)
        if len(place) > 2:
            form = STEPS[str(place[2])]
            return f"{where}{place[2]}: {told(detail, form, place[3:])}"
    return told(detail, Scenario, place)


def are_in(record: object) -> bool:
    """Whether the first line of a file looks like a scenario: a JSON object with `steps`."""
    return isinstance(record, dict) and "steps" in record


def read(path: Path, numbered: Iterable[tuple[int, str]] | None = None) -> Iterator[Scenario]:
    """The scenarios of a file; ConformanceError with its line for the first that is malformed.

    `numbered` are the lines of the file, if it is open already.
    """
    for n, text in lines(path) if numbered is None else numbered:
        try:
            yield parse(json_value(text))
        except ValueError as error:
            raise ConformanceError(f"{path}:{n}: {error}") from None
