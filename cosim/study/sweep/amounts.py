"""Numbers with a dimension, as conditions count with them: times, sizes, and what products of them come to."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from cosim.study.sweep.values import number_of
from cosim.units.quantities import SIZE, TIME, dimension_of

LARGEST = 4000
"""So many bits a power has at most, above and below the line."""

Kind = tuple[int, int]
"""The powers of a time and of a size."""
NUMBER, A_TIME, A_SIZE = (0, 0), (1, 0), (0, 1)
KINDS = {
    "time": (A_TIME, Fraction(1)),
    "size": (A_SIZE, Fraction(1)),
    "rate": ((-1, 1), Fraction(1, 8 * TIME.units["s"])),
}
"""What each dimension is made of, and how many bytes and picoseconds one of its own unit is."""
EXAMPLES = {NUMBER: "a number", A_TIME: f"a time ({TIME.example})", A_SIZE: f"a size ({SIZE.example})"}
EXAMPLES |= {(-1, 1): "a rate (16 GB/s)", (-1, 0): "a number per time", (0, -1): "a number per size"}


class AmountError(ValueError):
    """What cannot be counted or compared: why, in words."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An exact number of bytes and picoseconds, or of powers of them."""

    value: Fraction
    kind: Kind = NUMBER

    @classmethod
    def of(cls, text: str) -> Amount | None:
        """Of a number or a quantity as it is written; None for what is neither."""
        number, dimension = number_of(text), dimension_of(text)
        if number is None:
            return None
        kind, factor = KINDS.get(dimension.name, (NUMBER, Fraction(1))) if dimension else (NUMBER, Fraction(1))
        return cls(number * factor, kind)

    def alike(self, other: Amount, doing: str) -> Kind:
        """The dimension of both; 0 has any. Raises AmountError, which says what was being done, if they differ."""
        if self.kind != other.kind and self.value and other.value:
            raise AmountError(f"{self.told} and {other.told} cannot be {doing}; write both with units")
        return self.kind if self.value else other.kind

    @property
    def told(self) -> str:
        """What it is, with an example of how that is written."""
        return EXAMPLES.get(self.kind, "a product of quantities")

    def __bool__(self) -> bool:
        return bool(self.value)

    def __neg__(self) -> Amount:
        return Amount(-self.value, self.kind)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.value + other.value, self.alike(other, "added"))

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.value - other.value, self.alike(other, "subtracted"))

    def __mod__(self, other: Amount) -> Amount:
        return Amount(self.value % other.value, self.alike(other, "divided with a remainder"))

    def __mul__(self, other: Amount) -> Amount:
        return Amount(self.value * other.value, (self.kind[0] + other.kind[0], self.kind[1] + other.kind[1]))

    def __truediv__(self, other: Amount) -> Amount:
        return Amount(self.value / other.value, (self.kind[0] - other.kind[0], self.kind[1] - other.kind[1]))

    def __floordiv__(self, other: Amount) -> Amount:
        return Amount(Fraction(self.value // other.value), (self / other).kind)

    def __pow__(self, other: Amount) -> Amount:
        power = other.value
        if other.kind != NUMBER or power.denominator != 1:
            raise AmountError("a power is a whole number")
        bits = max(self.value.numerator.bit_length(), self.value.denominator.bit_length())
        if bits * abs(power) > LARGEST:
            raise AmountError(f"a power of more than {LARGEST} bits is too large to count with")
        return Amount(self.value ** int(power), (self.kind[0] * int(power), self.kind[1] * int(power)))
