"""A condition that points have to meet: ``walkers <= iotlb_entries / 4 and window >= 64KiB``."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from cosim.study.sweep.amounts import Amount, AmountError
from cosim.study.sweep.axes import Axes, AxesError
from cosim.study.sweep.values import LETTERS, number_of
from cosim.units.quantities import show

_QUANTITY = re.compile(rf"(?<![\w.'\"])([0-9][0-9_.]*\s?[{LETTERS}]+(?:/s)?)(?![\w'\"])")
_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_COUNTED: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
ALLOWED = "numbers, quantities, axes by their last names, and or not in, < <= == != >= >, + - * / // % **"


class Where:
    """``Where(text, axes)(settings)``: whether a point meets it. AxesError for what is no such condition."""

    def __init__(self, text: str, axes: Axes) -> None:
        self.text = text
        self._axes = axes
        quoted = _QUANTITY.sub(lambda found: repr(found[1]) if number_of(found[1]) is not None else found[1], text)
        try:
            self._tree = ast.parse(quoted.strip(), mode="eval").body
        except SyntaxError as error:
            raise AxesError(f"--where {text}: not a condition ({error.msg}); there are {ALLOWED}") from None
        self._names = self._known(self._tree)

    def __call__(self, settings: Mapping[str, str]) -> bool:
        try:
            return bool(self._value(self._tree, settings))
        except ZeroDivisionError:
            raise self._wrong("division by 0", settings) from None
        except AmountError as error:
            raise self._wrong(str(error), settings) from None

    def _wrong(self, why: str, settings: Mapping[str, str]) -> AxesError:
        said = ", ".join(f"{path}={settings[path]}" for path in dict.fromkeys(self._names.values()))
        return AxesError(f"--where {self.text}: {why}{said and f', at {said}'}")

    def _known(self, tree: ast.expr) -> dict[str, str]:
        """The axis of each name. Raises AxesError for a name of none, and for what a condition cannot hold."""
        inner = [part for node in ast.walk(tree) if isinstance(node, ast.Attribute) for part in [node.value]]
        names = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute) and node not in inner:
                name = _dotted(node)
                names[name] = self._axis_of(name)
            elif not isinstance(node, _SORTS):
                raise AxesError(f"--where {self.text}: {type(node).__name__.lower()} has no place here; {ALLOWED}")
        return names

    def _axis_of(self, name: str) -> str:
        """The axis that is called so. Raises AxesError, also for a text without quotes."""
        try:
            return self._axes.called(name, f"--where {self.text}")
        except AxesError:
            axis = next((axis.path for axis in self._axes.axes if name in axis.values), None)
            if axis is None:
                raise
            why = f"{name} is no axis, but a value of {axis}; write it in quotes: '{name}'"
            raise AxesError(f"--where {self.text}: {why}") from None

    def _value(self, node: ast.expr, settings: Mapping[str, str]) -> Any:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self._value(each, settings) for each in values)
            case ast.BoolOp(values=values):
                return any(self._value(each, settings) for each in values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand, settings)
            case ast.UnaryOp(operand=operand):
                return -_amount(self._value(operand, settings))
            case ast.BinOp(left=left, op=op, right=right):
                return _COUNTED[type(op)](_amount(self._value(left, settings)), _amount(self._value(right, settings)))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared(left, ops, others, settings)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return [self._value(item, settings) for item in items]
            case ast.Constant(value=value):
                return plain(value if isinstance(value, str) else str(value))
            case ast.Name() | ast.Attribute():
                return plain(settings[self._names[_dotted(node)]])
        raise AssertionError(node)

    def _compared(
        self, left: ast.expr, ops: Sequence[ast.cmpop], others: Sequence[ast.expr], settings: Mapping[str, str]
    ) -> bool:
        values = [self._value(each, settings) for each in (left, *others)]
        return all(_holds(op, values[at], values[at + 1]) for at, op in enumerate(ops))


_SORTS: tuple[type[ast.AST], ...] = (
    *(ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Tuple, ast.List, ast.Constant, ast.Name, ast.Attribute),
    *(ast.boolop, ast.Not, ast.USub, ast.expr_context, ast.cmpop, ast.operator),
)


def plain(text: str) -> Amount | str:
    """A number or a quantity as an amount, anything else as text."""
    amount = Amount.of(text)
    return text if amount is None else amount


def _amount(value: Any) -> Amount:
    """What can be counted with. Raises AmountError for text."""
    if isinstance(value, bool):
        return Amount(Fraction(value))
    if not isinstance(value, Amount):
        raise AmountError(f"{show(value)} is no number")
    return value


def _holds(op: ast.cmpop, one: Any, other: Any) -> bool:
    """Whether a comparison holds. Raises AmountError where the two cannot be compared."""
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(other, list):
            raise AmountError("`in` is followed by values in brackets, such as (1, 2)")
        return any(_holds(ast.Eq(), one, each) for each in other) == isinstance(op, ast.In)
    if isinstance(op, ast.Eq | ast.NotEq) and isinstance(one, str) != isinstance(other, str):
        return isinstance(op, ast.NotEq)  # such as 4 KiB, where the axis has the word `none` too
    if isinstance(one, str) and isinstance(other, str):
        return _COMPARED[type(op)](one, other)
    one, other = _amount(one), _amount(other)
    one.alike(other, "compared")
    return _COMPARED[type(op)](one.value, other.value)


def _dotted(node: ast.expr) -> str:
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "?")
