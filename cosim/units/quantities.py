"""Physical quantities as exact integers: picoseconds, bytes, bits per second, addresses, counts.

A quantity is written as a number and its unit (`80 ns`, `256 MiB`, `400 Gb/s`). Nothing is rounded on the way in.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from math import floor

PS, NS, US, MS, S = 1, 10**3, 10**6, 10**9, 10**12
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class UnitError(ValueError):
    """A quantity that cannot be read; the message says what was found, the rule, and a right example."""


class Rate(int):
    """A bandwidth in bits per second, above 0."""

    __slots__ = ()

    def transfer_ps(self, size: int) -> int:
        """Picoseconds that `size` bytes take at this rate, rounded up."""
        return -(-size * 8 * S // self)


@dataclass(frozen=True)
class Dimension:
    """One kind of quantity: its units, how many of `base` (the integer's own unit) each is, and the largest."""

    name: str
    base: str
    units: Mapping[str, int]
    choices: str
    example: str
    most: int

    def __str__(self) -> str:
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"


_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_PREFIXES = _DECIMAL | _BINARY
_BITS = {f"{prefix}b/s": scale for prefix, scale in _DECIMAL.items()}
_BYTES = {f"{prefix}B/s": 8 * scale for prefix, scale in _PREFIXES.items()}

_TIMES = {"ps": PS, "ns": NS, "us": US, "ms": MS, "s": S}
_SIZES = {f"{prefix}B": scale for prefix, scale in _PREFIXES.items()}
_HERTZ = {f"{prefix}Hz": scale for prefix, scale in _DECIMAL.items()}

TIME = Dimension("time", "picoseconds", _TIMES, "ps, ns, us, ms or s", "80 ns", 2**63 - 1)
SIZE = Dimension("size", "bytes", _SIZES, "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB", "4 KiB", 2**64)
RATE = Dimension("rate", "bits per second", _BYTES | _BITS, "B/s, MB/s, GiB/s, Gb/s, ...", "16 GB/s", 10**18)
FREQUENCY = Dimension("frequency", "hertz", _HERTZ, "Hz, kHz, MHz, GHz or THz", "1 GHz", S)
COUNT = Dimension("count", "", {}, "", "16", 2**63 - 1)
ADDRESS = Dimension("address", "bytes", {}, "", "0x8000_0000", 2**64 - 1)
_MEASURED = (TIME, SIZE, RATE, FREQUENCY)

_DIGITS = r"[0-9]+(?:_[0-9]+)*"
NUMBER = rf"{_DIGITS}(?:\.{_DIGITS})?(?:[eE][+-]?[0-9]{{1,2}})?"
_QUANTITY = re.compile(rf"(?P<number>{NUMBER})\s*(?P<unit>[A-Za-z\u00b5\u03bc][A-Za-z\u00b5\u03bc/]*)?")
_HEX = re.compile(r"0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*")
_LONGEST = 60


def parse_time(value: object) -> int:
    """Picoseconds of `80 ns`, `1.5us`, `90 s`; of bare numbers only 0 is a time. Raises UnitError."""
    return _measure(value, TIME)


def parse_size(value: object) -> int:
    """Bytes of `1500 B`, `4 kB`, `256 MiB`; of bare numbers only 0 is a size. Raises UnitError."""
    return _measure(value, SIZE)


def parse_rate(value: object) -> Rate:
    """Bits per second of `16 GB/s`, `400 Gb/s`, `800 MiB/s`, above 0. Raises UnitError."""
    rate = _measure(value, RATE)
    if rate == 0:
        raise UnitError(f"{show(value)} is no rate: nothing would ever arrive; write one such as {RATE.example}")
    return Rate(rate)


def parse_address(value: object) -> int:
    """A byte address of up to 64 bits: an int, `0x8000_0000` or decimal digits. Raises UnitError."""
    return _integer(value, ADDRESS)


def parse_count(value: object) -> int:
    """A number of things: an int of 0 or more, or its digits (`1_000`, `1e3`). Raises UnitError."""
    return _integer(value, COUNT)


def dimension_of(text: str) -> Dimension | None:
    """Which kind of quantity the unit of `text` belongs to; None without a known unit."""
    match = _QUANTITY.fullmatch(text.strip())
    unit = _spelled(match["unit"]) if match else None
    return next((kind for kind in _MEASURED if unit in kind.units), None)


def format_time(ps: float, digits: int | None = None) -> str:
    """`1.234 us`: an int exactly unless `digits` says how many to keep; a float to 4 significant digits."""
    return _scaled(ps, TIME.units, digits)


def format_size(size: int) -> str:
    """`256 MiB`, `1500 B`: exact, in the unit that reads shortest, binary before decimal."""
    whole = [unit for unit, scale in SIZE.units.items() if size % scale == 0 and (size or scale == 1)]
    texts = [f"{size // SIZE.units[unit]} {unit}" for unit in sorted(whole, key=lambda unit: "i" not in unit)]
    return min(texts, key=len)


def format_rate(rate: float, digits: int | None = None) -> str:
    """`16 GB/s`, `100 Gb/s`: as format_time rounds, in bytes unless bits read shorter."""
    decimal = {unit: scale for unit, scale in _BYTES.items() if "i" not in unit}
    return min(_scaled(rate, decimal, digits), _scaled(rate, _BITS, digits), key=len)


def format_frequency(hertz: int) -> str:
    """`1.5 GHz`: exact."""
    return _scaled(hertz, FREQUENCY.units, None)


def format_address(address: int) -> str:
    """`0x8000_0000`, in groups of four digits."""
    return f"{address:#_x}"


def format_like(text: str, value: int) -> str:
    """`value` (in base units) in words of the dimension that `text` is in; plain digits if it has none."""
    kind = dimension_of(text)
    return _FORMATS[kind.name](value) if kind else str(value)


_FORMATS: dict[str, Callable[[int], str]] = {
    "time": format_time,
    "size": format_size,
    "rate": format_rate,
    "frequency": format_frequency,
    "address": format_address,
    "count": str,
}


def show(value: object) -> str:
    """How a value found in a file is named in an error: text as it stands, quoted if it would not be seen."""
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
        return text if text.isprintable() and text.strip() == text != "" else repr(text)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (int, float)):
        return str(value) if isinstance(value, float) or abs(value) < 10**_LONGEST else "a huge number"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value)


def _measure(value: object, kind: Dimension) -> int:
    """`value` in base units of `kind`, whose units are compulsory."""
    number, unit = _split(value, kind)
    if number == 0 and unit is None:
        return 0
    if unit is None:
        hint = f"{kind} is in {kind.choices}, such as {kind.example}"
        if kind is SIZE and number.denominator == 1:
            hint = f"for bytes write {format_size(int(number))}"
        raise UnitError(f"{show(value)} has no unit; {hint}")
    if unit not in kind.units:
        raise UnitError(_wrong_unit(value, unit, kind))
    return _whole(value, number * kind.units[unit], kind)


def _integer(value: object, kind: Dimension) -> int:
    """`value` as a whole number without unit."""
    number, unit = _split(value, kind)
    if unit is not None:
        raise UnitError(_wrong_unit(value, unit, kind))
    return _whole(value, number, kind)


def _split(value: object, kind: Dimension) -> tuple[Fraction, str | None]:
    """The exact number and the unit, if there is one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf"):
        if value < 0:
            raise UnitError(f"{show(value)} is negative; {kind} is 0 or more")
        return Fraction(value), None
    if not isinstance(value, str):
        raise UnitError(f"{show(value)} is not {kind}; write one such as {kind.example}")
    text = value.strip()
    if len(text) <= _LONGEST:
        if _HEX.fullmatch(text):
            return Fraction(int(text, 16)), None
        if match := _QUANTITY.fullmatch(text):
            return Fraction(match["number"].replace("_", "")), _spelled(match["unit"])
        if text.startswith("-") and _QUANTITY.fullmatch(text[1:].lstrip()):
            raise UnitError(f"{show(value)} is negative; {kind} is 0 or more")
    raise UnitError(f"{show(value)} is not {kind}; write one such as {kind.example}")


def _spelled(unit: str | None) -> str | None:
    """The unit with either of the two micro signs spelled `u`."""
    return unit and unit.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")


def _whole(value: object, exact: Fraction, kind: Dimension) -> int:
    write = _FORMATS[kind.name]
    if exact > kind.most:
        raise UnitError(f"{show(value)} is too large; {kind} is at most {write(kind.most)}")
    if exact.denominator != 1:
        below = floor(exact)
        of_what = kind.base and f" of {kind.base}"
        raise UnitError(f"{show(value)} is not a whole number{of_what}; write {write(below)} or {write(below + 1)}")
    return int(exact)


def _wrong_unit(value: object, unit: str, kind: Dimension) -> str:
    other = next((other for other in _MEASURED if unit in other.units), None)
    if not kind.units:
        found = f"{show(value)} is {other}, not {kind}" if other else f"{show(value)} is not {kind}"
        return f"{found}; write one without unit, such as {kind.example}"
    if other is not None:
        return f"{show(value)} is {other}, not {kind}; {kind} is in {kind.choices}, such as {kind.example}"
    near = _near(unit, kind)
    return f"{show(value)}: unknown unit {unit}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"{kind} is in {kind.choices}"
    )


_SPELLINGS = (
    (r"sec(ond)?s?$", "s"),
    (r"bytes?(?=$|/|ps$)", "B"),
    (r"bits?(?=$|/|ps$)", "b"),
    (r"^(k)ilo|^(m)ega|^(g)iga|^(t)era|^(p)ico|^(n)ano|^(m)illi", r"\1\2\3\4\5\6\7"),
    (r"^micro", "u"),
    (r"(?<=b)ps$", "/s"),
)


def _near(unit: str, kind: Dimension) -> list[str]:
    """The units that somebody who wrote `unit` may have meant."""
    plain = unit
    for pattern, spelling in _SPELLINGS:
        plain = re.sub(pattern, spelling, plain, flags=re.IGNORECASE)
    if plain in kind.units:
        return [plain]
    same = [known for known in kind.units if known.lower() == plain.lower()]
    if plain == "KB" and same:
        same.append("KiB")
    return same or difflib.get_close_matches(unit, kind.units, n=2, cutoff=0.5)


def _scaled(value: float, units: Mapping[str, int], digits: int | None) -> str:
    """`value` in the largest of `units` that leaves at least 1 before the point."""
    if digits is None and isinstance(value, float):
        digits = 4
    exact = Decimal(value) if digits is None else Context(prec=digits).create_decimal(value)
    fitting = [unit for unit, scale in units.items() if scale <= abs(exact)]
    unit = max(fitting, key=units.__getitem__) if fitting else min(units, key=units.__getitem__)
    scaled = _EXACT.divide(exact, units[unit])
    return f"{_EXACT.normalize(scaled):f} {unit}"


_EXACT = Context(prec=100)
