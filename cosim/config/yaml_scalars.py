"""What an unquoted word of a topology means: YAML 1.2's null, booleans and numbers, and else text.

`on`, `yes`, `12:30:00` and `2024-01-01` are text; `1_000`, `0x8000_0000` and `1e3` are integers.
"""

import math
import re
from decimal import Decimal

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_DECIMAL = re.compile(rf"[-+]?{_DIGITS}")
_BASED = re.compile(r"[-+]?0(?:x[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|o[0-7]+(?:_[0-7]+)*|b[01]+(?:_[01]+)*)")
_POWER = re.compile(rf"[-+]?{_DIGITS}[eE]\+?[0-9]+")
_FLOAT = re.compile(rf"[-+]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0_?[0-9]")
_LONGEST = 40


def scalar_of(text: str) -> Scalar:
    """The value of an unquoted scalar. Raises ValueError, in words for the user, where readers of YAML disagree."""
    if text in _WORDS:
        return _WORDS[text]
    based = _BASED.fullmatch(text)
    if not based and not _FLOAT.fullmatch(text):
        return text
    if len(text) > _LONGEST:
        raise ValueError("a number of this length is out of range; quote it if it is text")
    if based:
        return int(text, 0)
    if _LEADING_ZERO.match(text):
        bare = text.replace("_", "").lstrip("-+0") or "0"
        octal = f" (0o{bare} if it is octal)" if re.fullmatch("[0-7]+", bare) else ""
        raise ValueError(f"{text}: a number does not begin with 0; write {bare}{octal}, or quote it if it is text")
    if _DECIMAL.fullmatch(text):
        return int(text)
    digits = text.replace("_", "")
    if math.isinf(float(digits)):
        raise ValueError(f"{text}: this number is out of range; quote it if it is text")
    return int(Decimal(digits)) if _POWER.fullmatch(text) else float(digits)
