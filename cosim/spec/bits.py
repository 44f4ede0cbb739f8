"""The notation for packed formats: each field declared once, with the manual's bit numbers and access kind.

`Word` is one value of up to 64 bits (a register, an entry of a table); `Record` is several doublewords.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

ONES = (1 << 64) - 1
"""All bits of a doubleword."""

T_co = TypeVar("T_co", bound=int, covariant=True)


class FieldAccess(Enum):
    """What a write by software does to a field of a register (1.1 "Glossary")."""

    RO = "read-only: the write is ignored"
    RW = "the written value is held"
    RW1C = "a written 1 clears the bit, a written 0 does nothing"
    RW1S = "a written 1 sets the bit, a written 0 does nothing"
    WARL = "any value may be written, a legal one is read: the register's owner decides which"
    WPRI = "reads 0, the write is ignored"


class Field(property, Generic[T_co]):
    """Bits `hi` to `lo` of one doubleword; made by `bit`, `bits` and `word`, used as an attribute.

    On an instance it is the value of the field, on the class it is the field itself. `get` and `put` use
    plain operators on the given integer: a subclass of `int` that carries more than its value survives.
    """

    name: str
    """The attribute's name."""
    get: Callable[[int], int]
    """The field's value within a doubleword."""

    def __init__(
        self,
        hi: int,
        lo: int,
        access: FieldAccess = FieldAccess.RW,
        *,
        view: type[int] | None = None,
        enum: type[IntEnum] | None = None,
        preset: int = 0,
        manual: str = "",
    ) -> None:
        if not 0 <= lo <= hi:
            raise TypeError(f"bits {hi}:{lo}: the higher bit comes first, and none is negative")
        if hi // 64 != lo // 64:
            raise TypeError(f"bits {hi}:{lo} cross the doubleword boundary at bit {hi // 64 * 64}")
        self.dword, self.lo = divmod(lo, 64)
        self.hi = hi % 64
        self.width = hi - lo + 1
        self.shift = self.lo
        self.ones = (1 << self.width) - 1
        """The largest value of the field."""
        self.mask = self.ones << self.lo
        """The field's bits in place, within its doubleword."""
        self.access = access
        self.view = view
        self.enum = enum
        self.preset = preset
        """The value that `of` gives the field where the caller gives none."""
        self.manual = manual
        """The field's name as the specification spells it."""
        self.owner = ""
        self.get = _getter(self.lo, self.ones)

    def bind(self, owner: str, name: str, *, record: bool) -> None:
        """Give the field its name and the form that its attribute access takes."""
        self.owner, self.name = owner, name
        self.manual = self.manual or name
        super().__init__(_record_getter(self) if record else self.get)

    def put(self, value: int, x: int) -> int:
        """`value`, a doubleword, with this field set to `x`."""
        if x >> self.width:
            wide = f"{self.width} bit{'s' if self.width > 1 else ''} wide, 0..{self.ones:#x}"
            raise ValueError(f"{self.owner}.{self.name} is {wide}: {x:#x} does not fit")
        return value & ~self.mask | x << self.lo

    def show(self, x: int) -> str:
        """`x` as a reader of the manual would write it: by name, by fields, in decimal or in hexadecimal."""
        if self.view is not None:
            return repr(self.view(x))
        if self.enum is not None and x in self.enum.__members__.values():
            return self.enum(x).name
        return str(int(x)) if x < 10 else hex(x)

    if TYPE_CHECKING:  # at run time it is property's own, which is written in C

        @overload
        def __get__(self, instance: None, owner: type, /) -> Self: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None, /) -> T_co: ...
        def __get__(self, instance: object, owner: type | None = None, /) -> Self | T_co: ...


def _getter(lo: int, ones: int) -> Callable[[int], int]:
    if lo == 0:
        return lambda value: value & ones
    return lambda value: value >> lo & ones


def _record_getter(field: Field[int]) -> Callable[[Any], Any]:
    dword, lo, ones, view = field.dword, field.lo, field.ones, field.view
    if view is not None:
        return lambda words: view(words[dword])
    if ones == ONES:
        return lambda words: words[dword]
    return lambda words: words[dword] >> lo & ones


def bits(
    hi: int,
    lo: int,
    access: FieldAccess = FieldAccess.RW,
    *,
    enum: type[IntEnum] | None = None,
    preset: int = 0,
    manual: str = "",
) -> Field[int]:
    """The field at bits `hi`:`lo`, in a `Record` counted through all its doublewords."""
    return Field(hi, lo, access, enum=enum, preset=preset, manual=manual)


def bit(n: int, access: FieldAccess = FieldAccess.RW, *, manual: str = "") -> Field[int]:
    """The field of one bit, `n`."""
    return Field(n, n, access, manual=manual)


W = TypeVar("W", bound="Word")


def word(dword: int, view: type[W]) -> Field[W]:
    """The doubleword number `dword` of a `Record`, read as a `view`."""
    return Field(64 * dword + 63, 64 * dword, view=view)


class _Body(dict[str, Any]):
    """The namespace of a format while its class statement runs: refuses a second field of the same name."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Field):
            raise TypeError(f"{self['__qualname__']}.{name} is declared twice")
        super().__setitem__(name, value)


class _Format(type):
    """Checks a format when its class is made, and works out its masks."""

    FIELDS: Mapping[str, Field[int]]

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **keywords: Any) -> _Body:
        return _Body()

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **keywords: Any) -> _Format:
        body.setdefault("__slots__", ())
        for attribute, value in body.items():
            if isinstance(value, Field) and any(hasattr(base, attribute) for base in bases):
                raise TypeError(f"{name}.{attribute}: the name is taken by {bases[0].__name__}.{attribute}")
        return super().__new__(cls, name, bases, dict(body), **keywords)

    def declare(cls, width: int, *, record: bool) -> None:
        """Collect the fields, inherited ones first, and refuse those that overlap or stick out."""
        inherited: Mapping[str, Field[int]] = getattr(cls, "FIELDS", {})
        own = {name: field for name, field in vars(cls).items() if isinstance(field, Field)}
        taken: dict[tuple[int, int], str] = {
            (f.dword, n): f.name for f in inherited.values() for n in range(f.lo, f.hi + 1)
        }
        for name, field in own.items():
            field.bind(cls.__name__, name, record=record)
            if field.dword * 64 + field.hi >= width:
                raise TypeError(
                    f"{cls.__name__}.{name} ends at bit {field.dword * 64 + field.hi}, "
                    f"beyond the {width} bits of {cls.__name__}"
                )
            for n in range(field.lo, field.hi + 1):
                if (other := taken.setdefault((field.dword, n), name)) != name:
                    raise TypeError(
                        f"{cls.__name__}.{name} overlaps {cls.__name__}.{other} at bit {field.dword * 64 + n}"
                    )
        cls.FIELDS = {**inherited, **own}

    def field(cls, name: str) -> Field[int]:
        """The field called `name`; TypeError with the nearest name if there is none."""
        try:
            return cls.FIELDS[name]
        except KeyError:
            near = get_close_matches(name, cls.FIELDS, n=1)
            hint = f"did you mean {near[0]!r}? There are" if near else "there are"
            raise TypeError(f"{cls.__name__} has no field {name!r}; {hint}: {', '.join(cls.FIELDS)}") from None

    def show(cls, words: Sequence[int], reserved: int) -> str:
        """The fields that are not 0, and the reserved bits if any is set."""
        values = ((field, field.get(words[field.dword])) for field in cls.FIELDS.values())
        parts = [f"{field.name}={field.show(x)}" for field, x in values if x]
        if reserved:
            parts.append(f"reserved={reserved:#x}")
        return f"{cls.__name__}({', '.join(parts) or '0'})"


class Word(int, metaclass=_Format):
    """One packed value: an `int` that knows its fields. `Tc(0x21).pdtv`, `Tc.of(v=1, pdtv=1)`.

    `Tc(value)` checks nothing, since memory may hold anything; `value & Tc.RESERVED` is what no field covers.
    It is a plain integer: of a value that carries more than its bits, read fields with `Tc.pdtv.get(value)`.
    """

    WIDTH: ClassVar[int] = 64
    """In bits."""
    MASK: ClassVar[int] = 0
    """The union of the fields."""
    RESERVED: ClassVar[int] = ONES
    """The bits of no field, within `WIDTH`."""
    PRESET: ClassVar[int] = 0
    """The value of `of()`."""
    FIELDS: ClassVar[Mapping[str, Field[int]]] = {}
    """By name, in order of declaration."""
    ACCESS: ClassVar[Mapping[FieldAccess, int]] = {}
    """The bits of each access kind."""

    def __init_subclass__(cls, width: int | None = None) -> None:
        cls.WIDTH = cls.WIDTH if width is None else width
        cls.declare(cls.WIDTH, record=False)
        fields = cls.FIELDS.values()
        cls.MASK = sum(field.mask for field in fields)
        cls.RESERVED = (1 << cls.WIDTH) - 1 & ~cls.MASK
        cls.PRESET = sum(field.preset << field.lo for field in fields)
        cls.ACCESS = {kind: sum(f.mask for f in fields if f.access is kind) for kind in FieldAccess}

    @classmethod
    def of(cls, **fields: int) -> Self:
        """The word with these fields; TypeError on an unknown name, ValueError if a value is too large."""
        value = cls.PRESET
        known = cls.FIELDS
        for name, x in fields.items():
            value = (known[name] if name in known else cls.field(name)).put(value, x)
        return cls(value)

    def replace(self, **fields: int) -> Self:
        """This word with some fields changed; reserved bits stay."""
        value = int(self)
        for name, x in fields.items():
            value = type(self).field(name).put(value, x)
        return type(self)(value)

    def fields(self) -> dict[str, int]:
        """All fields by name."""
        return {name: field.get(self) for name, field in self.FIELDS.items()}

    @classmethod
    def written(cls, old: int, new: int, writable: int = ONES) -> Self:
        """What a register that holds `old` reads after software has written `new`, by the access kinds alone.

        Bits outside `writable` (the half of the register that was not accessed, bits that an implementation
        hardwires) keep their value. WARL fields take what was written: the caller knows what is legal.
        """
        kind = cls.ACCESS
        held = (kind[FieldAccess.RW] | kind[FieldAccess.WARL]) & writable
        value = old & cls.MASK & ~kind[FieldAccess.WPRI] & ~held | new & held
        value &= ~(new & kind[FieldAccess.RW1C] & writable)
        value |= new & kind[FieldAccess.RW1S] & writable
        return cls(value)

    def __repr__(self) -> str:
        return type(self).show([int(self)], self & self.RESERVED)


class Record(tuple[int, ...], metaclass=_Format):
    """Several doublewords, lowest address first. Its elements stay the integers that it was made from."""

    DWORDS: ClassVar[int] = 0
    SIZE: ClassVar[int] = 0
    """In bytes."""
    MASKS: ClassVar[tuple[int, ...]] = ()
    """The union of the fields, for each doubleword."""
    RESERVED: ClassVar[tuple[int, ...]] = ()
    """The bits of no field, for each doubleword."""
    PRESET: ClassVar[tuple[int, ...]] = ()
    """The doublewords of `of()`."""
    FIELDS: ClassVar[Mapping[str, Field[int]]] = {}
    """By name, in order of declaration."""

    def __init_subclass__(cls, dwords: int | None = None) -> None:
        cls.DWORDS = cls.DWORDS if dwords is None else dwords
        cls.SIZE = 8 * cls.DWORDS
        cls.declare(64 * cls.DWORDS, record=True)
        fields = cls.FIELDS.values()
        numbers = range(cls.DWORDS)
        cls.MASKS = tuple(sum(_mask(f) for f in fields if f.dword == n) for n in numbers)
        cls.RESERVED = tuple(ONES & ~mask for mask in cls.MASKS)
        cls.PRESET = tuple(sum(f.preset << f.lo for f in fields if f.dword == n) for n in numbers)

    @classmethod
    def from_words(cls, words: Iterable[int]) -> Self:
        """The record in these doublewords; ValueError unless there are `DWORDS` of them."""
        record = cls(words)
        if len(record) != cls.DWORDS:
            raise ValueError(f"{cls.__name__} has {cls.DWORDS} doublewords, not {len(record)}")
        return record

    @classmethod
    def of(cls, **fields: int) -> Self:
        """The record with these fields; TypeError on an unknown name, ValueError if a value is too large."""
        return cls(cls._put(list(cls.PRESET), fields))

    def replace(self, **fields: int) -> Self:
        """This record with some fields changed; reserved bits stay."""
        return type(self)(self._put(list(self), fields))

    @classmethod
    def _put(cls, words: list[int], fields: Mapping[str, int]) -> list[int]:
        known = cls.FIELDS
        for name, x in fields.items():
            field = known[name] if name in known else cls.field(name)
            words[field.dword] = field.put(words[field.dword], x)
        return words

    def words(self) -> tuple[int, ...]:
        """The doublewords, lowest address first."""
        return tuple(self)

    def fields(self) -> dict[str, int]:
        """All fields by name."""
        return {name: getattr(self, name) for name in self.FIELDS}

    def reserved(self) -> int:
        """The reserved bits that are set, as one number over all doublewords; 0 if none is."""
        found = 0
        for n, mask in enumerate(self.RESERVED):
            if odd := self[n] & mask:
                found |= odd << 64 * n
        return found

    def __repr__(self) -> str:
        return type(self).show(self, self.reserved())


def _mask(field: Field[int]) -> int:
    return field.view.MASK if field.view is not None and issubclass(field.view, Word) else field.mask
