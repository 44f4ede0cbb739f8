"""Under which PSCIDs each IOMMU may have cached what, since when: from contexts in memory, and executed commands."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from cosim.events import (
    Attached,
    Attaching,
    CommandExecuted,
    ContextChanged,
    DomainMade,
    KernelEnded,
    RegisterWritten,
)
from cosim.oracles.flushes import Named, named
from cosim.oracles.oracle import Book, of_before
from cosim.spec.page import PAGE_LG2
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import DcTa, Fsc, IosatpMode, Tc

Key = tuple[str, int]
"""An IOMMU and a PSCID, or an IOMMU and a device id."""
V = Tc.v.mask
BARE, UNUSED = -1, -2
"""What a context that is Bare has for a PSCID, and one that has differed from the next in nothing that counts."""
PAGES = 1 << 64 - PAGE_LG2
HALF = 1 << 57 - 1 - PAGE_LG2
"""The pages of an IOVA's 64 bits, and those of either half of what Sv57 can map: the lowest and the highest ones."""


class Leaf(NamedTuple):
    """The pages of a leaf, both included."""

    first: int
    last: int


class Use(NamedTuple):
    """A PSCID was in use for a domain, from when to when."""

    began: int
    ended: int
    domain: str


@dataclass(slots=True, eq=False)
class Holder:
    """A domain that a PSCID is in use for: since when, with which table, and for the contexts of which devices."""

    domain: str
    since: int
    root: int
    users: Counter[int] = field(default_factory=Counter)


class Tag:
    """A PSCID on an IOMMU: *in use* from the first valid context that names it until the last one is forgotten.

    A context is forgotten when a fence has been executed behind its IODIR.INVAL_DDT. It is in use for one domain; each
    of `holders` is one. `uses` are earlier ones that no fenced flush of the whole PSCID has come after.
    """

    __slots__ = ("holders", "uses")

    def __init__(self) -> None:
        self.holders: list[Holder] = []
        self.uses: list[Use] = []

    @property
    def domain(self) -> str | None:
        """Whose it is, of several who was first; None if it is not in use."""
        return self.holders[0].domain if self.holders else None

    def holder(self, domain: str) -> Holder | None:
        """That domain, if it is one that the PSCID is in use for."""
        return next((holder for holder in self.holders if holder.domain == domain), None)


class Old(NamedTuple):
    """A context that is not in memory any more, since when, and the PSCID that it named, for whom."""

    pscid: int
    holder: Holder | None
    since: int


class Context:
    """A device context: its words in memory, the PSCID and table that it names, and those that are not forgotten yet.

    One that is Bare is a context as well: it names `BARE`, and reaches all of memory. What is not forgotten is `told`
    once an IODIR.INVAL_DDT was executed.
    """

    __slots__ = ("holder", "names", "old", "told", "words")

    def __init__(self) -> None:
        self.words: dict[str, int] = {"tc": 0, "ta": 0, "fsc": 0}
        self.names: tuple[int, int] | None = None
        self.holder: Holder | None = None
        self.old: list[Old] = []
        self.told = 0

    def now(self) -> tuple[int, int] | None:
        """The PSCID and the table that it names in memory; None if it is not valid there."""
        words = self.words
        if not words["tc"] & V:
            return None
        if Fsc.mode.get(words["fsc"]) == IosatpMode.BARE:
            return BARE, 0
        return DcTa.pscid.get(words["ta"]), Fsc.ppn.get(words["fsc"])

    @property
    def left(self) -> Sequence[Old]:
        """What is not forgotten, and lets the device reach what the context in memory does not."""
        return [old for old in self.old if old.pscid != UNUSED] if self.old else ()


class Tags(Book):
    """The tags and contexts of every IOMMU, and when what was flushed under a fence."""

    watches: ClassVar = {
        DomainMade: "domain_made",
        KernelEnded: "kernel_ended",
        Attaching: "attaching",
        Attached: "attached",
        ContextChanged: "context_changed",
        CommandExecuted: "command_executed",
        RegisterWritten: "register_written",
    }

    def __init__(self) -> None:
        self.off: set[str] = set()
        """The IOMMUs whose `ddtp` is Off: no device can use what they hold, until `ddtp` leads to a directory again."""
        self.tags: defaultdict[Key, Tag] = defaultdict(Tag)
        self.contexts: defaultdict[Key, Context] = defaultdict(Context)
        self.of: defaultdict[str, set[Key]] = defaultdict(set)
        """The tags that a domain has or had."""
        self.starting: list[Callable[[int, Key, Tag, str], None]] = []
        """Who wants to know that a tag is in use from now on, for which domain."""
        self.roots: dict[int, str] = {}
        """The domain of each table that a context has named, by the page number of its root."""
        self._domain: dict[Key, str] = {}
        self._changed: defaultdict[str, dict[int, Context]] = defaultdict(dict)
        """The contexts of each IOMMU with something that is not forgotten."""
        self._whole: dict[tuple[str, int | None], int] = {}
        """When everything of a PSCID was flushed, or of all PSCIDs (None)."""
        self._pages: defaultdict[tuple[str, int | None], dict[int, int]] = defaultdict(dict)
        """When each page was that a command has named, likewise."""
        self._ranges: defaultdict[str, dict[Named, int]] = defaultdict(dict)
        self._tables: defaultdict[str, dict[Named, int]] = defaultdict(dict)
        """When what a command has named was flushed with the tables that lead there (NL)."""
        self._unfenced: defaultdict[str, list[tuple[Named, int]]] = defaultdict(list)

    # --- Contexts ----------------------------------------------------------------------------------------------------

    def attaching(self, event: Attaching) -> None:
        for device_id in event.device_ids:
            self._domain[event.iommu, device_id] = event.domain

    def attached(self, event: Attached) -> None:
        for device_id in event.device_ids:
            self._domain[event.iommu, device_id] = event.domain

    def context_changed(self, event: ContextChanged) -> None:
        place = event.who, event.device_id
        context = self.contexts[place]
        if event.field not in context.words:
            return
        context.words[event.field] = event.value
        before, now = context.names, context.now()
        if now == before and (event.field != "ta" or now is None or now[0] != BARE):
            return
        if before is not None:
            context.old.append(Old(UNUSED if now == before else before[0], context.holder, event.time))
            self._changed[event.who][event.device_id] = context
        if now == before:
            return
        context.names, context.holder = now, None
        if now is not None and now[0] != BARE:
            domain = self._domain.get(place, "")
            context.holder = self._begin(event.time, (event.who, now[0]), event.device_id, domain, now[1])

    def _begin(self, time: int, key: Key, device_id: int, domain: str, root: int) -> Holder:
        tag = self.tags[key]
        holder = tag.holder(domain)
        if holder is None:
            tag.uses = [use for use in tag.uses if not self._flushed_in_ranges(key, use.ended)]
            for want in self.starting:
                want(time, key, tag, domain)
            holder = Holder(domain, time, root)
            tag.holders.append(holder)
            self.of[domain].add(key)
            self.roots[root] = domain
        holder.users[device_id] += 1
        return holder

    def _end(self, time: int, key: Key, device_id: int, holder: Holder) -> None:
        holder.users[device_id] -= 1
        if not holder.users[device_id]:
            del holder.users[device_id]
        if not holder.users:
            tag = self.tags[key]
            tag.holders.remove(holder)
            tag.uses.append(Use(holder.since, time, holder.domain))

    def domain_made(self, event: DomainMade) -> None:
        """What a domain of that name has left is another one's."""
        earlier = f"an earlier {event.domain}"
        self.roots = {root: earlier if domain == event.domain else domain for root, domain in self.roots.items()}
        keys = self.of.pop(event.domain, set())
        self.of[earlier] |= keys
        for key in keys:
            tag = self.tags[key]
            tag.uses = [use._replace(domain=earlier) if use.domain == event.domain else use for use in tag.uses]
            holder = tag.holder(event.domain)
            if holder is not None:
                holder.domain = earlier

    def kernel_ended(self, event: KernelEnded) -> None:
        """The next kernel has a directory of its own: what this one's had is old, and no PSCID is in use any more."""
        for (iommu, device_id), context in self.contexts.items():
            if context.names is not None:
                context.old.append(Old(context.names[0], None, event.time))
                self._changed[iommu][device_id] = context
            context.old = [old._replace(holder=None) for old in context.old]
            context.words = dict.fromkeys(context.words, 0)
            context.names = context.holder = None
        for tag in self.tags.values():
            tag.uses += [Use(holder.since, event.time, holder.domain) for holder in tag.holders]
            tag.uses = [use._replace(domain=of_before(use.domain)) for use in tag.uses]
            tag.holders.clear()
        self.roots.clear()
        self.of.clear()
        self._domain.clear()

    def register_written(self, event: RegisterWritten) -> None:
        if event.offset == DDTP.offset:
            if Ddtp.iommu_mode.get(event.value) == IommuMode.OFF:
                self.off.add(event.who)
            else:
                self.off.discard(event.who)

    # --- Commands ----------------------------------------------------------------------------------------------------

    def command_executed(self, event: CommandExecuted) -> None:
        if event.kind == "iofence":
            self._fence(event.who, event.time)
            return
        what = named(event.words)
        if what is None:
            return
        if what.kind == "vma":
            self._unfenced[event.who].append((what, event.time))
            return
        for device_id, context in self._changed[event.who].items():
            if what.names(device_id):
                context.told = len(context.old)

    def _fence(self, iommu: str, time: int) -> None:
        changed = self._changed[iommu]
        for device_id, context in list(changed.items()) if changed else ():
            for old in context.old[: context.told]:
                if old.holder is not None:
                    self._end(time, (iommu, old.pscid), device_id, old.holder)
            del context.old[: context.told]
            context.told = 0
            if not context.old:
                del changed[device_id]
        unfenced = self._unfenced[iommu]
        for what, then in unfenced:
            if what.first is None:
                self._forget(iommu, what.id, then)
                self._whole[iommu, what.id] = then
            elif what.first == what.last:
                self._pages[iommu, what.id][what.first] = then
            else:
                self._ranges[iommu][what] = then
            if what.tables:
                self._tables[iommu][what] = then
        unfenced.clear()

    def _forget(self, iommu: str, pscid: int | None, time: int) -> None:
        """A whole PSCID was flushed, or all of them."""
        for key in [(iommu, pscid)] if pscid is not None else [key for key in self.tags if key[0] == iommu]:
            if key in self.tags:
                tag = self.tags[key]
                tag.uses = [use for use in tag.uses if use.ended > time]

    # --- What can be asked -------------------------------------------------------------------------------------------

    def flushed(self, key: Key, leaf: Leaf) -> int:
        """When a leaf was last flushed under a fence that has been executed; -1 if it never was.

        An invalidation that names an address names the leaf that translates it, however large that is.
        """
        (iommu, pscid), last = key, -1
        for whose in ((iommu, pscid), (iommu, None)):
            last = max(last, self._whole.get(whose, -1))
            if times := self._pages.get(whose):
                last = max(last, max(times.get(page, -1) for page in range(leaf.first, leaf.last + 1)))
        for what, then in self._ranges[iommu].items():
            if then > last and what.meets(pscid, leaf.first, leaf.last):
                last = then
        return last

    def flushed_tables(self, key: Key, span: Leaf) -> int:
        """The same for what leads to the table of these pages, which no invalidation of leaves alone forgets."""
        iommu, pscid = key
        last = max(self._whole.get(key, -1), self._whole.get((iommu, None), -1))
        ranges = [then for what, then in self._tables[iommu].items() if what.meets(pscid, *span)]
        return max(last, max(ranges, default=-1))

    def _flushed_in_ranges(self, key: Key, since: int) -> bool:
        """Whether ranges were flushed, with the tables that lead to them, that are all that can be mapped together."""
        iommu, pscid = key
        reached = 0
        for first, last in sorted(
            (what.first or 0, what.last or 0)
            for what, then in self._ranges[iommu].items()
            if what.tables and what.id in (None, pscid) and then >= since
        ):
            if first > reached and (reached < HALF or first > PAGES - HALF):
                return False
            reached = max(reached, last + 1)
        return reached >= PAGES

    def executed(self, key: Key, leaf: Leaf) -> int:
        """When an invalidation of a leaf was last executed, fenced or not; -1 if none was."""
        iommu, pscid = key
        last = max((then for what, then in self._unfenced[iommu] if what.meets(pscid, *leaf)), default=-1)
        return last if last >= 0 else self.flushed(key, leaf)

    def held(self, iommu: str) -> tuple[list[int], list[int]]:
        """The devices whose old contexts an IOMMU may hold, and the PSCIDs with what earlier uses have left."""
        devices = [device_id for device_id, context in self._changed[iommu].items() if context.left]
        pscids = [pscid for (place, pscid), tag in self.tags.items() if place == iommu and tag.uses]
        return devices, pscids

    def may_hold(self, key: Key, domain: str, leaf: Leaf, cleared: int, *, table: bool = False) -> bool:
        """Whether an IOMMU may have a translation of a domain that its table has not had since `cleared`.

        With `table`: the way to the table of these pages.
        """
        tag = self.tags[key]
        holder = tag.holder(domain)
        in_use = holder is not None and holder.since < cleared
        if not in_use and not tag.uses:
            return False
        flushed = self.flushed_tables(key, leaf) if table else self.flushed(key, leaf)
        if flushed >= cleared:
            return False
        return in_use or any(use.ended > flushed and use.began < cleared for use in tag.uses if use.domain == domain)
