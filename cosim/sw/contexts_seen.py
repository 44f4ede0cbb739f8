"""What device contexts say, looked up in memory for those who watch (`ContextSeen`); nothing here takes time."""

from __future__ import annotations

from cosim.events import ContextSeen
from cosim.spec.translation import Fsc
from cosim.sw.iommu_ops import Device, Domain, DomainKind, IommuDriver
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.tables_seen import lets_pass


class ContextsSeen:
    """Looks at contexts as they will be once what CPUs have stored has taken hold."""

    def __init__(self, kernel: Kernel, driver: IommuDriver) -> None:
        self._kernel, self._driver = kernel, driver
        self._wanted = kernel.sim.probe(ContextSeen)

    def of(self, device: Device, domain: Domain | None) -> None:
        """Tell what the contexts of a device say that is in `domain` now, or has been released."""
        if not self._wanted:
            return
        kernel, driver, stored = self._kernel, self._driver, self._kernel.stored()
        blocked = domain is None or domain.kind is DomainKind.BLOCKED
        fsc = None if domain is None else driver.table(domain, lambda address: kernel.word(address, stored))
        for device_id in device.ids:
            words = driver.context(device, device_id, lambda address: kernel.word(address, stored))
            leads = blocked and lets_pass(kernel, Fsc(words[3]), stored)
            name = "" if domain is None else domain.name
            place = device.iommu, device_id, device.name, name
            self._wanted(ContextSeen(kernel.sim.now, *place, words, fsc, leads))
