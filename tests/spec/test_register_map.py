"""The memory-mapped registers: where they are, when they are there, what they hold."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from cosim.spec import register_map, registers
from cosim.spec.bits import FieldAccess, Word
from cosim.spec.register_map import IOHPMCTR, IOHPMEVT, MSI_ADDR, MSI_DATA, MSI_VEC_CTL, REGISTERS
from cosim.spec.registers import (
    Capabilities,
    Cqcsr,
    Event,
    Fqcsr,
    Icvec,
    Igs,
    Interrupt,
    Iohpmevt,
    IommuMode,
    Ipsr,
    Pqcsr,
    QueueBase,
    QueueCsr,
)

DATA = Path(__file__).parent / "data"

LAYOUT = {
    "capabilities": (0, 8),
    "fctl": (8, 4),
    "custom": (12, 4),
    "ddtp": (16, 8),
    "cqb": (24, 8),
    "cqh": (32, 4),
    "cqt": (36, 4),
    "fqb": (40, 8),
    "fqh": (48, 4),
    "fqt": (52, 4),
    "pqb": (56, 8),
    "pqh": (64, 4),
    "pqt": (68, 4),
    "cqcsr": (72, 4),
    "fqcsr": (76, 4),
    "pqcsr": (80, 4),
    "ipsr": (84, 4),
    "iocountovf": (88, 4),
    "iocountinh": (92, 4),
    "iohpmcycles": (96, 8),
    "iohpmctr1": (104, 8),
    "iohpmctr31": (344, 8),
    "iohpmevt1": (352, 8),
    "iohpmevt31": (592, 8),
    "tr_req_iova": (600, 8),
    "tr_req_ctl": (608, 8),
    "tr_response": (616, 8),
    "iommu_qosid": (624, 4),
    "icvec": (760, 8),
    "msi_addr_0": (768, 8),
    "msi_data_0": (776, 4),
    "msi_vec_ctl_0": (780, 4),
    "msi_addr_15": (1008, 8),
    "msi_vec_ctl_15": (1020, 4),
}


@pytest.mark.parametrize("name", LAYOUT)
def test_a_register_is_where_the_layout_table_puts_it(name):
    register = REGISTERS[name]
    assert (register.offset, register.size) == LAYOUT[name]
    assert register.name == name


def test_registers_are_aligned_and_do_not_overlap():
    for register in REGISTERS.values():
        assert register.offset % register.size == 0
        assert register.size in (4, 8)
    for lower, upper in pairwise(REGISTERS.values()):
        assert lower.offset + lower.size <= upper.offset
    assert max(register.offset for register in REGISTERS.values()) < 1024 < REGISTERS.SIZE


def test_gaps_are_the_reserved_and_custom_ranges_only():
    covered = {at for register in REGISTERS.values() for at in range(register.offset, register.offset + register.size)}
    assert set(range(1024)) - covered == set(range(628, 760))


def test_the_map_has_every_register_once():
    declared = [value for value in vars(register_map).values() if isinstance(value, register_map.Register)]
    arrays = [IOHPMCTR, IOHPMEVT, MSI_ADDR, MSI_DATA, MSI_VEC_CTL]
    assert len(REGISTERS) == len(declared) + sum(map(len, arrays)) == 22 + 1 + 62 + 48 + 2
    assert list(IOHPMCTR) == list(IOHPMEVT) == list(range(1, 32))


def test_a_register_is_found_by_each_of_its_bytes():
    for register in REGISTERS.values():
        for at in range(register.offset, register.offset + register.size):
            assert REGISTERS.at(at) is register
    assert REGISTERS.at(628) is None
    assert REGISTERS.at(4092) is None


@pytest.mark.parametrize(
    ("register", "field"),
    [("pqb", "ats"), ("pqcsr", "ats"), ("iohpmevt7", "hpm"), ("tr_response", "dbg"), ("iommu_qosid", "qosid")],
)
def test_an_optional_register_is_present_with_its_capability(register, field):
    assert REGISTERS[register].present(Capabilities.of(**{field: 1}))
    assert not REGISTERS[register].present(Capabilities.of())


@pytest.mark.parametrize(("igs", "present"), [(Igs.MSI, True), (Igs.WSI, False), (Igs.BOTH, True)])
def test_the_msi_table_is_absent_where_interrupts_are_wires_only(igs, present):
    assert MSI_ADDR[3].present(Capabilities.of(igs=igs)) is present


def test_mandatory_registers_are_present_without_capabilities():
    absent = {name for name, register in REGISTERS.items() if not register.present(Capabilities(0x10 | Igs.WSI << 28))}
    assert absent == {
        name for name in REGISTERS if name.startswith(("pq", "iocount", "iohpm", "tr_", "iommu_qosid", "msi_"))
    }


def test_reset_clears_what_must_be_off():
    for name, csr in (("cqcsr", Cqcsr), ("fqcsr", Fqcsr), ("pqcsr", Pqcsr)):
        q = name[:2]
        cleared = [field for field in csr.FIELDS.values() if field.mask & REGISTERS[name].cleared]
        assert [field.name for field in cleared] == [f"{q}en", f"{q[0]}ie", f"{q}on", "busy"]
    assert REGISTERS["ipsr"].cleared == 0xFFFF_FFFF
    assert REGISTERS["ddtp"].cleared == registers.Ddtp.busy.mask
    assert REGISTERS["tr_req_ctl"].cleared == 1
    assert REGISTERS["cqb"].cleared == 0


@pytest.mark.parametrize(("csr", "q"), [(Cqcsr, "c"), (Fqcsr, "f"), (Pqcsr, "p")])
def test_the_common_view_of_a_queue_csr_agrees_with_each(csr, q):
    for common, own in (("en", f"{q}qen"), ("ie", f"{q}ie"), ("mf", f"{q}qmf"), ("on", f"{q}qon"), ("busy", "busy")):
        ours, theirs = QueueCsr.FIELDS[common], csr.FIELDS[own]
        assert (ours.mask, ours.access) == (theirs.mask, theirs.access)


def test_capabilities_are_read_only():
    assert Capabilities.ACCESS[FieldAccess.RO] == Capabilities.MASK


def capability_rows():
    return [json.loads(line) for line in (DATA / "capabilities.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", capability_rows(), ids=lambda row: row["raw"])
def test_capabilities_by_the_manuals_names_are_the_registers_bits(row):
    raw = int(row["raw"], 0)
    assert Capabilities.named(row["fields"]) == raw
    assert raw & Capabilities.RESERVED == 0
    by_manual = {field.manual: field.get(raw) for field in Capabilities.FIELDS.values()}
    assert {name: x for name, x in by_manual.items() if x} == row["fields"]


def test_a_capability_that_does_not_exist_is_refused():
    with pytest.raises(TypeError) as wrong:
        Capabilities.named({"Sv39": 1, "msi_fla": 1})
    assert str(wrong.value).startswith(
        "Capabilities has no field 'msi_fla'; did you mean 'msi_flat'? There are: version"
    )


def test_a_queue_is_placed_by_address_and_length():
    base = QueueBase.placed(0x8000_0000, 256, 16)
    assert (base.log2szm1, base.ppn) == (7, 0x80000)
    assert (base.entries, base.address) == (256, 0x8000_0000)
    assert QueueBase(0).entries == 2


@pytest.mark.parametrize("entries", [0, 1, 3, 96])
def test_a_queue_of_another_length_is_refused(entries):
    with pytest.raises(ValueError, match="entries") as wrong:
        QueueBase.placed(0, entries, 16)
    assert str(wrong.value) == f"a queue has 2, 4, 8, ... entries, not {entries}"


@pytest.mark.parametrize(
    ("address", "entries", "alignment"),
    [(0x8000_0800, 2, 0x1000), (0x8000_1000, 256, 0x2000), (0x8000_2000, 512, 0x4000)],
)
def test_a_queue_is_aligned_to_a_page_and_to_its_size(address, entries, alignment):
    with pytest.raises(ValueError, match="multiple") as wrong:
        QueueBase.placed(address, entries, 32)
    assert str(wrong.value) == f"{entries} entries start at a multiple of {alignment:#x}, not at {address:#x}"
    assert QueueBase.placed(address & -alignment, entries, 32).entries == entries


def test_the_depth_of_the_device_directory_follows_the_mode():
    assert [mode.levels for mode in IommuMode] == [0, 0, 1, 2, 3]


def test_an_interrupt_knows_its_pending_bit_and_its_vector():
    assert [cause.pending for cause in Interrupt] == [
        getattr(Ipsr, name).mask for name in ("cip", "fip", "pmip", "pip")
    ]
    icvec = Icvec.of(civ=1, fiv=2, pmiv=3, piv=15)
    assert [cause.vector(icvec) for cause in Interrupt] == [1, 2, 3, 15]


def test_only_cached_translations_are_counted_by_context():
    assert {event for event in Event if event.by_context} == {Event(4), Event(7), Event(8)}


@pytest.mark.parametrize(
    ("dmask", "did", "mask"),
    [
        (0, 0x123456, 0xFFFFFF),
        (1, 0x123453, 0xFFFFF8),
        (1, 0x12347F, 0xFFFF00),
        (1, 0x127FFF, 0xFF0000),
        (1, 0x123450, 0xFFFFFE),
        (1, 0xFFFFFF, 0),
    ],
)
def test_a_selector_masks_the_low_bits_of_its_device_id(dmask, did, mask):
    assert Iohpmevt.of(dmask=dmask, did_gscid=did).did_gscid_mask == mask


def test_every_layout_is_a_whole_register():
    for register in REGISTERS.values():
        assert issubclass(register.layout, Word)
        assert register.layout.WIDTH in (32, 64)
