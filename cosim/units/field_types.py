"""Field types for quantities: readable text (`80 ns`, `256 MiB`) in a topology, an exact int in a model.

The rules and the texts of errors are those of `cosim.quantities.quantities`. A default is given as the int:
`latency: Time = 80 * NS`. Dumped, a field is text again, so that a dump is valid input.
"""

from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from cosim.units import quantities


def _measured_text(kind: quantities.Dimension) -> dict[str, Any]:
    """A number with one of the units of `kind`."""
    return {"type": "string", "pattern": rf"^{quantities.NUMBER}\s*({'|'.join(kind.units)})$"}


def _measured(kind: quantities.Dimension, *examples: str) -> WithJsonSchema:
    """What an editor offers and checks: a number with one of the units of `kind`, or a bare 0."""
    return WithJsonSchema({"anyOf": [_measured_text(kind), {"const": 0}], "examples": [*examples]})


def _integer(pattern: str, *examples: int | str) -> WithJsonSchema:
    written = {"type": "string", "pattern": f"^{pattern}$"}
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, written], "examples": [*examples]})


Time = Annotated[
    int,
    PlainValidator(quantities.parse_time),
    PlainSerializer(quantities.format_time, return_type=str),
    _measured(quantities.TIME, "80 ns", "1.5 us", "90 s"),
]
"""Picoseconds, 0 or more."""

Figure = Annotated[float, WithJsonSchema({"anyOf": [{"type": "number"}, _measured_text(quantities.TIME)]})]
"""A number of a result; one that is a time may be written as one, which whoever has its name turns into picoseconds."""

PositiveTime = Annotated[Time, Field(gt=0)]
"""Picoseconds, above 0."""

Size = Annotated[
    int,
    PlainValidator(quantities.parse_size),
    PlainSerializer(quantities.format_size, return_type=str),
    _measured(quantities.SIZE, "4 KiB", "1500 B"),
]
"""Bytes, 0 or more."""

PositiveSize = Annotated[Size, Field(gt=0)]
"""Bytes, above 0."""

Rate = Annotated[
    quantities.Rate,
    PlainValidator(quantities.parse_rate),
    PlainSerializer(quantities.format_rate, return_type=str),
    _measured(quantities.RATE, "16 GB/s", "400 Gb/s"),
]
"""Bits per second, above 0; `rate.transfer_ps(size)` is the time that so many bytes take."""

Address = Annotated[
    int,
    PlainValidator(quantities.parse_address),
    PlainSerializer(quantities.format_address, return_type=str),
    _integer(r"(0[xX][0-9a-fA-F_]+|[0-9_]+)", "0x8000_0000"),
]
"""A byte address of up to 64 bits."""

Count = Annotated[int, PlainValidator(quantities.parse_count), _integer(r"[0-9_]+", 16)]
"""A number of things, 0 or more."""

PositiveCount = Annotated[Count, Field(gt=0)]
"""A number of things, 1 or more."""


class ReadableSchema(GenerateJsonSchema):
    """A JSON schema whose defaults are written as in a topology: `model_json_schema(schema_generator=...)`."""

    def get_default_value(self, schema: Any) -> Any:
        default = super().get_default_value(schema)
        while self.mode == "validation" and isinstance(default, int) and (schema := schema.get("schema")):
            writer = schema.get("serialization", {})
            if writer.get("type") == "function-plain":
                return writer["function"](default)
        return default
