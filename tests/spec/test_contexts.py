"""Directories and contexts: where an id's entry is, what an entry says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.spec.registers import Capabilities
from cosim.spec.translation import (
    DDT_BASE,
    DDT_EXTENDED,
    PDT,
    Dc,
    DcExtended,
    Ddte,
    Fsc,
    Iohgatp,
    IosatpMode,
    MsiPte,
    MsiPteMode,
    MsiPteMrif,
    MsiptpMode,
    Pc,
    PcTa,
    PdtpMode,
    Tc,
    dc_format,
    ddt_split,
    extract,
    mgpaw,
)

exactly = settings(derandomize=True, deadline=None)


@pytest.mark.parametrize(("split", "cuts"), [(DDT_BASE, (7, 16, 24)), (DDT_EXTENDED, (6, 15, 24)), (PDT, (8, 17, 20))])
def test_ids_are_cut_where_the_manual_cuts_them(split, cuts):
    assert tuple(split.width(levels) for levels in (1, 2, 3)) == cuts
    key = 0xA5C396 & (1 << cuts[2]) - 1
    assert split.index(0, key) == key % (1 << cuts[0])
    assert split.index(1, key) == key % (1 << cuts[1]) >> cuts[0]
    assert split.index(2, key) == key >> cuts[1]


@exactly
@given(key=st.integers(0, (1 << 24) - 1))
def test_the_indices_of_an_id_make_up_the_id(key):
    for split in (DDT_BASE, DDT_EXTENDED):
        indices = [split.index(level, key) for level in range(3)]
        assert sum(index << split.width(level) for level, index in enumerate(indices)) == key


def test_a_directory_table_fills_one_page():
    for split in (DDT_BASE, DDT_EXTENDED, PDT):
        assert split.offset(0, (1 << split.widths[0]) - 1) == 4096 - split.leaf_size
        assert split.offset(1, (1 << 24) - 1) == 4096 - 8


def test_the_format_of_contexts_follows_msi_flat():
    flat, plain = Capabilities.of(msi_flat=1), Capabilities.of()
    assert (dc_format(flat), dc_format(plain)) == (DcExtended, Dc)
    assert (ddt_split(flat), ddt_split(plain)) == (DDT_EXTENDED, DDT_BASE)
    assert (Dc.SIZE, DcExtended.SIZE, Pc.SIZE, MsiPte.SIZE) == (32, 64, 16, 16)


def test_a_base_context_reads_as_an_extended_one_without_msi_translation():
    base = Dc.of(tc=Tc.of(v=1), iohgatp=Iohgatp.of(mode=8, gscid=3, ppn=4))
    extended = base.extended()
    assert type(extended) is DcExtended
    assert (extended.tc, extended.iohgatp, extended.msiptp.mode) == (base.tc, base.iohgatp, MsiptpMode.OFF)
    assert extended.extended() is extended


@pytest.mark.parametrize(
    ("caps", "modes"),
    [({}, [0]), ({"pd8": 1}, [0, 1]), ({"pd20": 1}, [0, 3]), ({"pd8": 1, "pd17": 1, "pd20": 1}, [0, 1, 2, 3])],
)
def test_each_depth_of_the_process_directory_has_its_capability(caps, modes):
    capabilities = Capabilities.of(**caps)
    assert [mode for mode in PdtpMode if mode.supported(capabilities)] == modes
    assert [mode.levels for mode in PdtpMode] == [0, 1, 2, 3]


def test_contexts_keep_the_bits_of_the_manual():
    assert Tc.of(v=1, en_ats=1, en_pri=1, t2gpa=1, dtf=1, pdtv=1, prpr=1) == 0x7F
    assert Tc.of(gade=1, sade=1, dpe=1, sbe=1, sxl=1) == 0xF80
    assert Tc.RESERVED == 0xFFFF_FFFF_00FF_F000
    assert Fsc.of(mode=IosatpMode.SV48, ppn=0x12345) == 9 << 60 | 0x12345
    assert Iohgatp.of(gscid=0xABCD, ppn=1, mode=8) == 0x8ABC_D000_0000_0001
    assert Ddte.of(v=1, ppn=0x80001) == 0x2000_0401
    assert PcTa.of(v=1, ens=1, sum=1, pscid=0xFFFFF) == 0xFFFF_F007


def test_reserved_bits_of_a_context_are_seen_in_each_word():
    good = DcExtended.of(tc=Tc.of(v=1, custom=0xFF))
    assert good.reserved() == 0
    for n, mask in enumerate(DcExtended.RESERVED):
        words = list(good)
        words[n] |= mask & -mask
        assert bool(DcExtended.from_words(words).reserved()) is bool(mask)
    assert DcExtended.RESERVED[7] == (1 << 64) - 1


@exactly
@given(x=st.integers(0, (1 << 52) - 1), mask=st.integers(0, (1 << 52) - 1))
def test_extract_packs_the_selected_bits_in_their_order(x, mask):
    picked = [x >> n & 1 for n in range(52) if mask >> n & 1]
    assert extract(x, mask) == sum(b << n for n, b in enumerate(picked))


def test_extract_agrees_with_the_manuals_example():
    a, c, f, g = 1, 0, 1, 1
    assert extract(a << 7 | c << 5 | f << 2 | g << 1, 0b10100110) == a << 3 | c << 2 | f << 1 | g


def test_an_interrupt_file_is_told_by_pattern_and_numbered_by_mask():
    dc = DcExtended.of(msiptp=1 << 60 | 0x80010, msi_addr_mask=0b1010, msi_addr_pattern=0x28005)
    assert dc.interrupt_file(0x28005_123) == 0
    assert dc.interrupt_file(0x2800F_000) == 0b11
    assert dc.interrupt_file(0x2800D_FFC) == 0b10
    assert dc.interrupt_file(0x28004_000) is None
    assert dc.replace(msiptp=0).interrupt_file(0x28005_123) is None


def test_an_mrif_entry_gives_address_and_notice():
    """Words and answer from a conformance vector."""
    entry = MsiPteMrif.from_words((0x1C828EC5E03, 0x6F75903EC33))
    assert (entry.v, entry.m, entry.c) == (1, MsiPteMode.MRIF, 0)
    assert entry.mrif_address << 9 == 0x720A3B17800
    assert (entry.nid, entry.nppn) == (51, 0x1BDD640FB)
    assert entry.reserved() == 0
    assert MsiPteMrif.of(v=1, n10=1, n90=3).nid == 0x403


def test_the_second_doubleword_of_a_basic_msi_entry_is_the_softwares():
    assert MsiPte.from_words((MsiPte.of(v=1, ppn=5)[0], (1 << 64) - 1)).reserved() == 0
    assert MsiPte.from_words((1 << 54, 0)).reserved()
    assert MsiPte.RESERVED[0] == 0x7FC0_0000_0000_03F8


@pytest.mark.parametrize(
    ("caps", "width"),
    [
        ({"sv57x4": 1, "sv48x4": 1, "sv39x4": 1}, 59),
        ({"sv48x4": 1, "sv39x4": 1}, 50),
        ({"sv39x4": 1, "sv32x4": 1}, 41),
        ({"sv32x4": 1, "pas": 46}, 34),
        ({"pas": 46}, 46),
    ],
)
def test_the_width_of_guest_addresses_follows_the_deepest_second_stage(caps, width):
    assert mgpaw(Capabilities.of(**caps)) == width
