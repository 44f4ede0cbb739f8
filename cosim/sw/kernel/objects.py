"""Kernel objects: structures of 8-byte words in simulated memory, seen through typed views.

All state that threads share lives in such words, and each access to one is an operation: a plain Python attribute
would hide races. A view knows only its address; if that is `Loaded`, accesses through it carry the address dependency.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar, Generic, NoReturn, TypeVar, overload

from cosim.sim.operations import Amo, Atomic, Load, Now, Oops, Park, Store
from cosim.spec.pagetable import PAGE

WORD = 8
"""Bytes of a word."""

LOWEST_VALID = PAGE
"""Below this address no kernel object can be: a null pointer plus an offset, or a list poison."""


class Ordering(Enum):
    """What an atomic operation orders; the value is (acquire, release). Unmarked ones of Linux are fully ordered."""

    RELAXED = (False, False)
    ACQUIRE = (True, False)
    RELEASE = (False, True)
    FULL = (True, True)


class Cell:
    """One word of a kernel object. Its methods give operations: ``await bond.next.load()``."""

    __slots__ = ("address",)
    address: int

    def __init__(self, address: int) -> None:
        _put_at(self, address)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a cell is simulated memory: use store() rather than setting {name!r}")

    def __repr__(self) -> str:
        return f"<Cell {int(self.address):#x}>"

    def load(self, *, acquire: bool = False, after: int = 0, part: str = "cpu") -> Load:
        """READ_ONCE, or smp_load_acquire; following the pointer that it returns is rcu_dereference."""
        return Load(self.address, acquire=acquire, after=after, part=part)

    def store(self, value: int, *, release: bool = False, after: int = 0, part: str = "cpu") -> Store:
        """WRITE_ONCE, or smp_store_release."""
        return Store(self.address, value, release=release, after=after, part=part)

    def rcu_dereference(self) -> Load:
        """Load a pointer; what is reached through it is ordered by the address dependency alone."""
        return Load(self.address)

    def rcu_assign_pointer(self, value: int) -> Store:
        """Publish a pointer: a thread that follows it sees all earlier stores."""
        return Store(self.address, value, release=True)

    def xchg(self, value: int, ordering: Ordering = Ordering.FULL, *, part: str = "cpu") -> Atomic:
        """Swap; returns the old value."""
        acquire, release = ordering.value
        return Atomic(Amo.SWAP, self.address, value, acquire=acquire, release=release, part=part)

    def cmpxchg(self, expect: int, value: int, ordering: Ordering = Ordering.FULL, *, part: str = "cpu") -> Atomic:
        """Store `value` if the word equals `expect`; returns the old value."""
        acquire, release = ordering.value
        return Atomic(Amo.CAS, self.address, value, expect=expect, acquire=acquire, release=release, part=part)

    def fetch_add(self, value: int, ordering: Ordering = Ordering.FULL, *, part: str = "cpu") -> Atomic:
        """Add; returns the old value."""
        acquire, release = ordering.value
        return Atomic(Amo.ADD, self.address, value, acquire=acquire, release=release, part=part)

    def fetch_or(self, value: int, ordering: Ordering = Ordering.FULL, *, part: str = "cpu") -> Atomic:
        """Set bits; returns the old value."""
        acquire, release = ordering.value
        return Atomic(Amo.OR, self.address, value, acquire=acquire, release=release, part=part)

    def fetch_and(self, value: int, ordering: Ordering = Ordering.FULL, *, part: str = "cpu") -> Atomic:
        """Keep only the bits of `value`; returns the old value."""
        acquire, release = ordering.value
        return Atomic(Amo.AND, self.address, value, acquire=acquire, release=release, part=part)

    async def wait_until(
        self,
        wanted: Callable[[int], bool],
        *,
        acquire: bool = True,
        spin: bool = True,
        timeout_ps: int | None = None,
        poll_ps: int = 1,
        part: str = "lock",
    ) -> int | None:
        """Load until the value is `wanted` and return it; None if `timeout_ps` passes first (it is read once more).

        With `spin` the thread keeps its CPU; without, the CPU is given to others until the word changes.
        """
        value = await self.load(acquire=acquire, part=part)
        if wanted(value):
            return value
        deadline = None if timeout_ps is None else (await Now()).time + timeout_ps
        while True:
            left = None if deadline is None else deadline - (await Now()).time
            if left is not None and left <= 0:
                return None
            await Park(self.address, int(value), timeout_ps=left, poll_ps=poll_ps, spin=spin, part=part)
            value = await self.load(acquire=acquire, part=part)
            if wanted(value):
                return value


_put_at = vars(Cell)["address"].__set__
"""What sets the address of a cell, which refuses to be set."""

O = TypeVar("O", bound="Object")  # noqa: E741 - the field's usual letter for an object type


class Member:
    """A field of an `Object`: knows its offset and size once the class exists; `owner` and `name` identify it."""

    def __init__(self, size: int, offset: int | None) -> None:
        self.size = size
        self.offset = -1 if offset is None else offset
        self.placed = offset is not None
        self.owner: type[Object] = Object
        self.name = ""

    def __set_name__(self, owner: type[Object], name: str) -> None:
        self.owner = owner
        self.name = name

    def __repr__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"

    def at(self, instance: Object) -> int:
        """The field's address in `instance`."""
        return instance.address + self.offset


class CellMember(Member):
    """One word; made by `cell`."""

    @overload
    def __get__(self, instance: None, owner: type[Object]) -> CellMember: ...
    @overload
    def __get__(self, instance: Object, owner: type[Object]) -> Cell: ...
    def __get__(self, instance: Object | None, owner: type[Object]) -> CellMember | Cell:
        if instance is None:
            return self
        if instance.address < LOWEST_VALID:
            instance.refuse(self)
        return Cell(instance.address + self.offset)


class ObjectMember(Member, Generic[O]):
    """An object inside an object; made by `embed`. Taking its address touches nothing."""

    def __init__(self, kind: type[O], offset: int | None) -> None:
        super().__init__(kind.SIZE, offset)
        self.kind = kind

    @overload
    def __get__(self, instance: None, owner: type[Object]) -> ObjectMember[O]: ...
    @overload
    def __get__(self, instance: Object, owner: type[Object]) -> O: ...
    def __get__(self, instance: Object | None, owner: type[Object]) -> ObjectMember[O] | O:
        if instance is None:
            return self
        return self.kind(instance.address + self.offset, member=self)


def cell(offset: int | None = None) -> CellMember:
    """A word of an object, after the fields before it unless `offset` (in bytes) is given."""
    return CellMember(WORD, offset)


def embed(kind: type[O], offset: int | None = None) -> ObjectMember[O]:
    """An object of another kind inside this one, such as a lock or a list head."""
    return ObjectMember(kind, offset)


class Object:
    """A view of a kernel object at `address`. Subclasses declare its fields; `SIZE` is its size in bytes.

    ``class Bond(Object): list = embed(ListHead); iommu = cell()``. Two views of one address are equal. `member` is
    the field through which an embedded object was reached (the locks' order is kept by it, as lockdep's classes are).
    """

    __slots__ = ("address", "member")
    SIZE: ClassVar[int] = 0
    WORDS: ClassVar[tuple[str, ...]] = ()
    """The name of the field in each word, such as ``list.next``; empty for one between fields."""
    address: int
    member: Member | None

    def __init__(self, address: int, member: Member | None = None) -> None:
        _see_at(self, address)
        _see_through(self, member)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        end = cls.SIZE
        taken: list[Member] = []
        for field in vars(cls).values():
            if not isinstance(field, Member):
                continue
            if not field.placed:
                field.offset = end
            if field.offset % WORD:
                raise TypeError(f"{field!r} is at offset {field.offset}, which is no multiple of {WORD}")
            for other in taken:
                if field.offset < other.offset + other.size and other.offset < field.offset + field.size:
                    raise TypeError(f"{field!r} at offset {field.offset} overlaps {other!r} at {other.offset}")
            taken.append(field)
            end = max(end, field.offset + field.size)
        words = [*cls.WORDS, *[""] * ((end - cls.SIZE) // WORD)]
        for field in taken:
            inner = field.kind.WORDS if isinstance(field, ObjectMember) else ()
            for index in range(field.size // WORD):
                words[field.offset // WORD + index] = f"{field.name}.{inner[index]}" if inner else field.name
        cls.SIZE, cls.WORDS = end, tuple(words)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} is simulated memory: declare a cell, and store() to it")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Object) and int(other.address) == int(self.address)

    def __hash__(self) -> int:
        return hash(int(self.address))

    def __bool__(self) -> bool:
        return int(self.address) != 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {int(self.address):#x}>"

    def refuse(self, member: Member) -> NoReturn:
        """Raise Oops: `member` cannot be reached, since this is no pointer to an object."""
        at = int(self.address) + member.offset
        raise Oops(f"null pointer dereference at {at:#x}: {member!r} of {int(self.address):#x}")


_see_at, _see_through = (vars(Object)[slot].__set__ for slot in ("address", "member"))
"""What sets the two words of a view, which refuse to be set."""
