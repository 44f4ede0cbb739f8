"""What the driver tells the core that it can do (riscv_iommu_capable): what the core and the DMA API choose by.

Without ``deferred_flush`` dma-iommu falls back from lazy to strict mode; without ``cache_coherency`` VFIO and iommufd
refuse the device.
"""

NONE: frozenset[str] = frozenset()
"""Linux 6.13: the driver has no such entry point."""

DEFERRED_FLUSH = frozenset({"deferred_flush"})
"""Linux 7.1."""

COHERENT = frozenset({"cache_coherency", "deferred_flush"})
"""As in an RFC of Nov 2024."""
