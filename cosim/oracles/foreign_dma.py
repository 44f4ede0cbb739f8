"""No device reaches memory but through what is mapped in a domain that it is in, as it is mapped there."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import DmaCommitted
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.translations import Translations
from cosim.spec.pagetable import PAGE_LG2


class ForeignDma(Oracle):
    """Judges each DMA when its access is committed: it must have gone through a translation (`Translations`) that is
    live, coming, or leaving in a domain that its device is in or enters, and that permits it.

    What was such a translation before is for `StaleDma`. A device that is in no domain, or in none of this kernel, goes
    through no IOMMU, or through one that is Bare and that this kernel has not probed: it reaches what it names. The
    signature says whose the page is.

    Source: isolation, "Introduction" of the specification; driver defects C3 and C14 break it with no unmap at all.
    """

    name = "foreign-dma"
    watches: ClassVar = {DmaCommitted: "committed"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._translations = self.book(Translations)
        self._spaces = self._translations.spaces

    def committed(self, event: DmaCommitted) -> bool:
        page, lead, write = event.iova >> PAGE_LG2, event.address - event.iova, event.write
        spaces = self._spaces.get(event.who)
        if spaces is None:
            translations = self._translations
            if translations.spares(event):
                return translations.spares_alike(event)
            if translations.why_gone(event.who, page, lead) is None:
                self._foreign(event, "though its device is in no domain", "a device in no domain")
            return False
        for pages in spaces:
            if pages[write].get(page) == lead:
                return True
        domains = self._translations.domains(event.who)
        if self._translations.fit(domains, page, lead, write):
            return False
        if self._translations.why_gone(event.who, page, lead) is None:
            self._foreign(event, *self._whose(domains, page, lead))
        return False

    def _whose(self, domains: list[str], page: int, lead: int) -> tuple[str, str]:
        """Whose the translation is, in words, and of which kind."""
        translations = self._translations
        where = " and ".join(domain for domain in domains if domain) or "no domain"
        if translations.fit(domains, page, lead, False):
            return f"which is mapped in {where} without that permission", "a page without that permission"
        for domain in (*translations.live, *translations.coming):
            if domain not in domains and translations.fit([domain], page, lead, False):
                return f"which is {domain}'s, and the device is in {where}", "a page of another domain"
        for domain, other, led in translations.gone:
            if (other, led) == (page, lead):
                return f"which was {domain}'s, and the device is in {where}", "a page unmapped from another domain"
        if any(page in translations.pages(domain).reads for domain in domains):
            return f"and the page is mapped elsewhere in {where}", "another frame than the page's"
        return f"which is not mapped, and the device is in {where}", "a page that is not mapped"

    def _foreign(self, event: DmaCommitted, how: str, kind: str) -> None:
        verb, what = ("wrote", "write") if event.write else ("read", "read")
        self.violated(
            f"{event.who} (device {event.device_id}) {verb} {event.address:#x} by IOVA {event.iova:#x} "
            f"at {exact(event.time)}, {how}",
            event.time,
            event.time,
            signature=f"{what} of {kind}",
        )
