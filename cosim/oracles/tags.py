"""Under which PSCIDs each IOMMU may have cached what, since when: from contexts in memory, and executed commands."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from cosim.events import Attached, Attaching, CommandExecuted, ContextChanged, RegisterWritten
from cosim.oracles.flushes import Named, named
from cosim.oracles.oracle import Book
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import DcTa, Fsc, IosatpMode, Tc

Key = tuple[str, int]
"""An IOMMU and a PSCID, or an IOMMU and a device id."""
V = Tc.v.mask


class Leaf(NamedTuple):
    """The pages of a leaf, both included."""

    first: int
    last: int


class Use(NamedTuple):
    """A PSCID was in use for a domain, from when to when."""

    began: int
    ended: int
    domain: str


class Tag:
    """A PSCID on an IOMMU: *in use* from the first valid context that names it until the last one is forgotten.

    A context is forgotten when a fence has been executed behind its IODIR.INVAL_DDT. `uses` are earlier ones that no
    fenced flush of the whole PSCID has come after.
    """

    __slots__ = ("domain", "since", "users", "uses")

    def __init__(self) -> None:
        self.domain = ""
        self.since = -1
        self.users: Counter[int] = Counter()
        self.uses: list[Use] = []


class Context:
    """A device context: its words in memory, the PSCID and table that it names, and those that are not forgotten yet.

    What is not forgotten is `told` once an IODIR.INVAL_DDT was executed.
    """

    __slots__ = ("names", "old", "told", "words")

    def __init__(self) -> None:
        self.words: dict[str, int] = {"tc": 0, "ta": 0, "fsc": 0}
        self.names: tuple[int, int] | None = None
        self.old: list[int] = []
        self.told = 0

    def now(self) -> tuple[int, int] | None:
        """The PSCID and the table that it names in memory."""
        words = self.words
        if not words["tc"] & V or Fsc.mode.get(words["fsc"]) == IosatpMode.BARE:
            return None
        return DcTa.pscid.get(words["ta"]), Fsc.ppn.get(words["fsc"])


class Tags(Book):
    """The tags and contexts of every IOMMU, and when what was flushed under a fence."""

    watches: ClassVar = {
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
        self._domain: dict[Key, str] = {}
        self._changed: defaultdict[str, dict[int, Context]] = defaultdict(dict)
        """The contexts of each IOMMU with something that is not forgotten."""
        self._flushed: defaultdict[str, dict[Named, int]] = defaultdict(dict)
        self._ranges: defaultdict[str, dict[Named, int]] = defaultdict(dict)
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
        now = context.now()
        if now == context.names:
            return
        if context.names is not None:
            context.old.append(context.names[0])
            self._changed[event.who][event.device_id] = context
        context.names = now
        if now is not None:
            self._begin(event.time, (event.who, now[0]), event.device_id, self._domain.get(place, ""))

    def _begin(self, time: int, key: Key, device_id: int, domain: str) -> None:
        tag = self.tags[key]
        if not tag.users:
            for want in self.starting:
                want(time, key, tag, domain)
            tag.since, tag.domain = time, domain
            self.of[domain].add(key)
        tag.users[device_id] += 1

    def _end(self, time: int, key: Key, device_id: int) -> None:
        tag = self.tags[key]
        tag.users[device_id] -= 1
        if not tag.users[device_id]:
            del tag.users[device_id]
        if not tag.users:
            tag.uses.append(Use(tag.since, time, tag.domain))
            tag.since = -1

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
            for pscid in context.old[: context.told]:
                self._end(time, (iommu, pscid), device_id)
            del context.old[: context.told]
            context.told = 0
            if not context.old:
                del changed[device_id]
        unfenced = self._unfenced[iommu]
        for what, then in unfenced:
            if what.first is None:
                self._forget(iommu, what.id, then)
            (self._flushed if what.first == what.last else self._ranges)[iommu][what] = then
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
        iommu, pscid = key
        times = self._flushed[iommu].get
        last = max(times(Named("vma", pscid), -1), times(Named("vma", None), -1))
        for page in range(leaf.first, leaf.last + 1):
            last = max(last, times(Named("vma", pscid, page, page), -1))
        for what, then in self._ranges[iommu].items():
            if then > last and what.meets(pscid, leaf.first, leaf.last):
                last = then
        return last

    def executed(self, key: Key, leaf: Leaf) -> int:
        """When an invalidation of a leaf was last executed, fenced or not; -1 if none was."""
        iommu, pscid = key
        last = max((then for what, then in self._unfenced[iommu] if what.meets(pscid, *leaf)), default=-1)
        return last if last >= 0 else self.flushed(key, leaf)

    def may_hold(self, key: Key, domain: str, leaf: Leaf, cleared: int) -> bool:
        """Whether an IOMMU may have a translation of a domain that its table has not had since `cleared`."""
        tag = self.tags[key]
        in_use = tag.domain == domain and 0 <= tag.since < cleared
        if not in_use and not tag.uses:
            return False
        flushed = self.flushed(key, leaf)
        if flushed >= cleared:
            return False
        return in_use or any(use.ended > flushed and use.began < cleared for use in tag.uses if use.domain == domain)
