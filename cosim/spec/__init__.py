"""The RISC-V IOMMU specification 1.0 as Python: each format, encoding and rule about bits declared once.

`bits` is the notation; `registers` and `register_map` the memory-mapped interface; `translation` directories and
contexts; `pagetable` both stages' page tables; `faults` causes and types; `queues` commands and records.
"""
