"""Page tables: the geometry of each scheme and the meaning of an entry."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.spec.pagetable import (
    BARE,
    FIRST_STAGE,
    NON_LEAF_RESERVED,
    SECOND_STAGE,
    SV32,
    SV32X4,
    SV39,
    SV39X4,
    SV48,
    SV48X4,
    SV57,
    SV57X4,
    Pbmt,
    Pte,
    Pte32,
    decode_range,
    encode_range,
    translated,
)
from cosim.spec.registers import Capabilities

PAGED = (SV32, SV39, SV48, SV57, SV32X4, SV39X4, SV48X4, SV57X4)
exactly = settings(derandomize=True, deadline=None)
addresses = st.integers(0, (1 << 64) - 1)


@pytest.mark.parametrize(
    ("scheme", "levels", "address_bits", "pte_size", "root"),
    [
        (SV32, 2, 32, 4, 4096),
        (SV39, 3, 39, 8, 4096),
        (SV48, 4, 48, 8, 4096),
        (SV57, 5, 57, 8, 4096),
        (SV32X4, 2, 34, 4, 16384),
        (SV39X4, 3, 41, 8, 16384),
        (SV48X4, 4, 50, 8, 16384),
        (SV57X4, 5, 59, 8, 16384),
    ],
    ids=lambda scheme: getattr(scheme, "name", None),
)
def test_a_scheme_has_the_manuals_numbers(scheme, levels, address_bits, pte_size, root):
    assert (scheme.levels, scheme.address_bits, scheme.pte_size, scheme.root_size) == (
        levels,
        address_bits,
        pte_size,
        root,
    )
    assert 8 * pte_size == scheme.pte.WIDTH
    assert scheme.entries(levels - 1) * pte_size == root
    assert all(scheme.entries(level) * pte_size == 4096 for level in range(levels - 1))
    assert not scheme.bare


def test_bare_translates_nothing():
    assert BARE.bare
    assert BARE.page_sizes == ()
    assert BARE.canonical(0xDEAD_BEEF_0000_0000)
    assert BARE.supported(Capabilities(0))
    assert BARE.address_bits == 64


def test_superpages_grow_by_one_index_per_level():
    assert SV39.page_sizes == (4 << 10, 2 << 20, 1 << 30)
    assert SV32.page_sizes == SV32X4.page_sizes == (4 << 10, 4 << 20)
    assert SV57X4.page_lg2(4) == 48


@exactly
@given(address=addresses, scheme=st.sampled_from(PAGED))
def test_the_indices_and_the_offset_make_up_the_address(address, scheme):
    address &= (1 << scheme.address_bits) - 1
    whole = address & 0xFFF
    for level in range(scheme.levels):
        index = scheme.vpn(level, address)
        assert 0 <= index < scheme.entries(level)
        whole |= index << scheme.page_lg2(level)
    assert whole == address


@exactly
@given(address=addresses, scheme=st.sampled_from((SV39, SV48, SV57)), near=st.integers(-2, 2))
def test_first_stage_addresses_are_sign_extended(address, scheme, near):
    edge = ((1 << scheme.address_bits - 1) + near) & (1 << 64) - 1
    for a in (address, edge, (1 << 64) - 1 - edge):
        bits = {a >> n & 1 for n in range(scheme.address_bits - 1, 64)}
        assert scheme.canonical(a) is (len(bits) == 1)


@exactly
@given(address=addresses, scheme=st.sampled_from((SV32, SV32X4, SV39X4, SV48X4, SV57X4)), near=st.integers(-2, 2))
def test_other_addresses_have_zeroes_above(address, scheme, near):
    for a in (address, (1 << scheme.address_bits) + near):
        assert scheme.canonical(a) is (a < 1 << scheme.address_bits)


def test_modes_name_schemes_and_other_encodings_are_reserved():
    assert FIRST_STAGE[0] == {0: BARE, 8: SV39, 9: SV48, 10: SV57}
    assert FIRST_STAGE[1] == {0: BARE, 8: SV32}
    assert SECOND_STAGE[0] == {0: BARE, 8: SV39X4, 9: SV48X4, 10: SV57X4}
    assert SECOND_STAGE[1] == {0: BARE, 8: SV32X4}
    assert FIRST_STAGE[0].get(11) is None


@pytest.mark.parametrize("scheme", PAGED, ids=lambda scheme: scheme.name)
def test_a_scheme_needs_the_capability_of_its_name(scheme):
    named = Capabilities.named({scheme.name: 1})
    assert scheme.supported(named)
    assert not scheme.supported(Capabilities(Capabilities.MASK & ~named))


def test_an_entry_with_r_or_x_is_a_leaf():
    for form in (Pte, Pte32):
        assert form.of(v=1, r=1).leaf
        assert form.of(v=1, x=1).leaf
        assert not form.of(v=1, w=1).leaf
        assert not form.of(v=1, ppn=5).leaf


def test_short_entries_have_neither_memory_type_nor_napot():
    assert Pte32.FIELDS["ppn"].width == 22
    assert (Pte32(0xFFFF_FFFF).pbmt, Pte32(0xFFFF_FFFF).n) == (Pbmt.PMA, 0)
    assert Pte32.RESERVED == Pte32.reserved(Capabilities(0)) == 0


@pytest.mark.parametrize(
    ("caps", "reserved"),
    [
        ({}, 0x7FC0_0000_0000_0000),
        ({"svpbmt": 1}, 0x1FC0_0000_0000_0000),
        ({"svrsw60t59b": 1}, 0x67C0_0000_0000_0000),
        ({"svpbmt": 1, "svrsw60t59b": 1}, 0x07C0_0000_0000_0000),
    ],
)
def test_reserved_bits_of_an_entry_follow_capabilities(caps, reserved):
    assert Pte.reserved(Capabilities.of(**caps)) == reserved


def test_an_entry_that_points_to_a_table_has_no_a_d_u_type_or_n():
    assert NON_LEAF_RESERVED == 0xE000_0000_0000_00D0


def test_a_superpage_is_aligned_to_its_size():
    for scheme in PAGED:
        for level in range(scheme.levels):
            low = 1 << level * scheme.index_bits
            assert scheme.leaf_lg2(scheme.pte.of(r=1, ppn=low), level) == scheme.page_lg2(level)
            for crooked in {1, low >> 1} - {0, low}:
                assert scheme.leaf_lg2(scheme.pte.of(r=1, ppn=low | crooked), level) is None


def test_napot_means_64_kib_at_the_last_level_only():
    for low in range(16):
        assert SV39.leaf_lg2(Pte.of(r=1, n=1, ppn=0x12340 | low), 0) == (16 if low == 8 else None)
    assert SV39.leaf_lg2(Pte.of(r=1, n=1, ppn=8 << 9), 1) is None


def test_a_leaf_keeps_the_offset_within_what_it_maps():
    assert translated(Pte.of(r=1, ppn=0x12345), 12, 0xABCDE_678) == 0x12345_678
    assert translated(Pte.of(r=1, n=1, ppn=0x12348), 16, 0xABCDE_678) == 0x1234E_678
    assert translated(Pte.of(r=1, ppn=0x12200), 21, 0xABDDE_678) == 0x123DE_678
    assert translated(Pte32.of(r=1, ppn=0x3FFC00), 22, 0x1_2345_6789) == 0x3_FFC5_6789 & ~0x3F_FFFF | 0x05_6789


@exactly
@given(lg2=st.integers(1, 52), number=st.integers(0, 1 << 20))
def test_a_range_survives_its_encoding(lg2, number):
    first = number << lg2
    assert decode_range(encode_range(first, lg2)) == (first, lg2)


@pytest.mark.parametrize(
    ("encoded", "size"), [(0x0, 8 << 10), (0x7, 64 << 10), (0xFF, 2 << 20), (0x1FF, 4 << 20), ((1 << 51) - 1, 1 << 64)]
)
def test_a_range_has_the_size_of_the_manuals_examples(encoded, size):
    first, pages_lg2 = decode_range(encoded)
    assert first == 0
    assert 4096 << pages_lg2 == size


@pytest.mark.parametrize(("page", "lg2"), [(0, 0), (1, 1), (0x10, 5)])
def test_a_range_of_one_page_or_askew_is_refused(page, lg2):
    with pytest.raises(ValueError, match="range") as wrong:
        encode_range(page, lg2)
    assert str(wrong.value) == f"a range of 2^{lg2} pages from page {page:#x}: at least 2, aligned to their number"


LEAF = Pte.of(v=1, r=1, w=1, u=1, a=1, d=1)


@pytest.mark.parametrize(
    ("level", "pte", "capabilities", "flaw"),
    [
        (0, LEAF, {}, ""),
        (0, LEAF.replace(u=0, a=0, d=0), {}, ""),
        (0, Pte(LEAF | 1 << 54), {}, "has reserved bits, 0x40000000000000"),
        (0, LEAF.replace(rsw60t59=1), {}, "has reserved bits, 0x800000000000000"),
        (0, LEAF.replace(rsw60t59=1), {"svrsw60t59b": 1}, ""),
        (0, LEAF.replace(pbmt=2), {}, "has reserved bits, 0x4000000000000000"),
        (0, LEAF.replace(pbmt=2), {"svpbmt": 1}, ""),
        (0, LEAF.replace(pbmt=3), {"svpbmt": 1}, "has PBMT=3, which is reserved"),
        (0, LEAF.replace(r=0), {}, "has W without R, which is reserved"),
        (0, LEAF.replace(n=1, ppn=8), {}, ""),
        (0, LEAF.replace(n=1, ppn=4), {}, "has N=1, and is none of 64 KiB"),
        (1, LEAF.replace(n=1, ppn=8), {}, "has N=1, and is none of 64 KiB"),
        (1, LEAF.replace(ppn=1 << 9), {}, ""),
        (1, LEAF.replace(ppn=1 << 8), {}, "is a superpage whose low PPN bits are not 0"),
        (2, LEAF.replace(ppn=1 << 9), {}, "is a superpage whose low PPN bits are not 0"),
    ],
)
def test_it_is_said_why_an_iommu_takes_a_leaf_for_none(level, pte, capabilities, flaw):
    assert SV39.flaw(pte, level, Capabilities.of(**capabilities)) == flaw


def test_a_leaf_of_4_bytes_may_have_the_wrong_address_alone():
    assert SV32.flaw(Pte32.of(v=1, r=1, ppn=1 << 10), 1, Capabilities(0)) == ""
    assert SV32.flaw(Pte32.of(v=1, r=1, ppn=1 << 9), 1, Capabilities(0)).startswith("is a superpage")
