"""What a fit may change: a path of the topology, between two bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from cosim.study.sweep.values import Span, ValuesError, number_of, span_of, written
from cosim.units.quantities import dimension_of

AT_BOUND = 0.002
"""As near to a bound, as a part of the whole range, a value is said to be there."""


class ParameterError(ValueError):
    """A parameter that cannot be: what is wrong, and how it is written right."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A path and its range. A position in it is 0 at the lower bound and 1 at the upper one."""

    path: str
    span: Span
    text: str

    @classmethod
    def parse(cls, text: str) -> Parameter:
        """Of ``PATH=LOW..HIGH``. Raises ParameterError."""
        path, equals, bounds = text.partition("=")
        if not equals or not path.strip():
            raise ParameterError(f"{text}: write PATH=LOW..HIGH, such as dram0.latency='50 ns..400 ns'")
        return cls.of(path.strip(), bounds.strip())

    @classmethod
    def of(cls, path: str, bounds: str) -> Parameter:
        """Of a path and ``LOW..HIGH``. Raises ParameterError."""
        try:
            span = span_of(bounds)
        except ValuesError as error:
            raise ParameterError(f"{path}={error}") from None
        if span is None:
            raise ParameterError(f"{path}={bounds}: write the bounds as LOW..HIGH, such as 50 ns..400 ns")
        if span.first == span.last:
            raise ParameterError(f"{path}={bounds}: between equal bounds there is nothing to find")
        return cls(path, span, bounds)

    @property
    def whole(self) -> bool:
        """Whether it is a number of things, of which there are no halves."""
        return self.span.whole and dimension_of(self.span.like) is None and not re.search(r"\d\.\d", self.text)

    @property
    def step(self) -> float:
        """How far to go to see what a change does: a hundredth of the range, and a whole thing at least."""
        return max(0.01, 1 / self._width if self.whole else 0.0)

    @property
    def _width(self) -> float:
        return float(self.span.last - self.span.first)

    def at(self, position: float) -> str:
        """The value at a position, as a topology has it; of whole things the nearest."""
        value = self.span.first + (self.span.last - self.span.first) * Fraction(min(1.0, max(0.0, position)))
        return written(Fraction(round(value)) if self.whole else value, self.span.like)

    def position(self, value: str) -> float:
        """The position of a value. Raises ParameterError."""
        number = number_of(value)
        if number is None:
            raise ParameterError(f"{self.path}={value}: {value} is no number")
        return float((number - self.span.first) / (self.span.last - self.span.first))

    def between(self, position: float) -> tuple[tuple[float, float], ...]:
        """The positions of values there are around `position`, and their weights, which add up to 1."""
        if not self.whole:
            return ((position, 1.0),)
        exact = position * self._width
        below = min(int(exact + 1e-9), int(self._width))
        part = exact - below
        if part < 1e-6:
            return ((below / self._width, 1.0),)
        return ((below / self._width, 1 - part), ((below + 1) / self._width, part))

    def bound(self, position: float) -> str:
        """Which bound a position is at: ``lower``, ``upper``, or nothing."""
        near = min(AT_BOUND, 0.5 / self._width) if self.whole else AT_BOUND
        return "lower" if position <= near else "upper" if position >= 1 - near else ""
