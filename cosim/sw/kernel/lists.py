"""Doubly linked lists of kernel objects, with Linux's memory ordering (include/linux/list.h and rculist.h)."""

from __future__ import annotations

from typing import Generic, TypeVar

from cosim.sw.kernel.objects import Member, Object, cell

O = TypeVar("O", bound=Object)  # noqa: E741 - the field's usual letter for an object type

LIST_POISON1, LIST_POISON2 = 0x100, 0x122
"""What a deleted list entry's pointers are set to, so that following them is seen."""


class ListHead(Object):
    """A circular list, or an entry of one.

    The writers' methods need the list's lock; `each` may run beside those that end in ``_rcu``.
    """

    __slots__ = ()
    next = cell()
    prev = cell()

    async def initialise(self) -> None:
        """Make it an empty list."""
        await self.next.store(self.address)
        await self.prev.store(self.address)

    async def empty(self) -> bool:
        """Whether nothing is on the list."""
        return int(await self.next.load()) == int(self.address)

    async def add(self, entry: ListHead) -> None:
        """Put `entry` first; readers may not be under way (or see it half linked)."""
        after = ListHead(await self.next.load())
        await after.prev.store(entry.address)
        await entry.next.store(after.address)
        await entry.prev.store(self.address)
        await self.next.store(entry.address)

    async def add_tail(self, entry: ListHead) -> None:
        """Put `entry` last."""
        await ListHead(await self.prev.load()).add(entry)

    async def add_rcu(self, entry: ListHead, *, release: bool = True) -> None:
        """Put `entry` behind this one, published by a release store for readers under way.

        Without `release` they may find it before it is what it is to be.
        """
        after = ListHead(await self.next.load())
        await entry.next.store(after.address)
        await entry.prev.store(self.address)
        await (self.next.rcu_assign_pointer(entry.address) if release else self.next.store(entry.address))
        await after.prev.store(entry.address)

    async def add_tail_rcu(self, entry: ListHead) -> None:
        """Put `entry` last, published by a release store."""
        await ListHead(await self.prev.load()).add_rcu(entry)

    async def delete(self) -> None:
        """Take this entry off its list; its pointers are poisoned."""
        await self._unlink()
        await self.next.store(LIST_POISON1)
        await self.prev.store(LIST_POISON2)

    async def delete_rcu(self) -> None:
        """Take this entry off; its `next` stays, for readers that stand on it until a grace period has passed."""
        await self._unlink()
        await self.prev.store(LIST_POISON2)

    async def _unlink(self) -> None:
        after, before = ListHead(await self.next.load()), ListHead(await self.prev.load())
        await after.prev.store(before.address)
        await before.next.store(after.address)

    def each(self, kind: type[O], member: Member, *, dependent: bool = True) -> Entries[O]:
        """``async for bond in domain.bonds.each(Bond, Bond.list)``: each object whose `member` is on this list.

        The pointers are followed as list_for_each_entry_rcu does; under the writers' lock it is the plain loop. Not
        `dependent`, what is read of an entry may be older than the pointer to it, as where a compiler guesses pointers.
        """
        return Entries(self, kind, member, dependent)


class Entries(Generic[O]):
    """A walk along a list; one load for each step, taken when the step is asked for."""

    __slots__ = ("_at", "_dependent", "_head", "_kind", "_offset")

    def __init__(self, head: ListHead, kind: type[O], member: Member, dependent: bool) -> None:
        self._dependent = dependent
        self._head = int(head.address)
        self._at = head
        self._kind = kind
        self._offset = member.offset

    def __aiter__(self) -> Entries[O]:
        return self

    async def __anext__(self) -> O:
        loaded = await self._at.next.rcu_dereference()
        following = loaded if self._dependent else int(loaded)
        if int(following) == self._head:
            raise StopAsyncIteration
        self._at = ListHead(following)
        return self._kind(following - self._offset)
