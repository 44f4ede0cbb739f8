"""The notation: what a packed format does, and what its declaration refuses."""

import copy
import inspect
import pickle
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.spec import pagetable, queues, registers, translation
from cosim.spec.bits import ONES, FieldAccess, Record, Word, bit, bits, word
from cosim.spec.registers import Cqcsr, Ddtp, TrReqCtl
from cosim.spec.translation import Dc, DcExtended, Fsc, MsiPte, Tc


def formats(kind: type[Any]) -> list[Any]:
    """Every format of that kind in the package."""
    found = {
        member
        for module in (registers, translation, pagetable, queues)
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, kind) and member.__module__ == module.__name__ and member.FIELDS
    }
    return sorted(found, key=lambda member: member.__name__)


WORDS, RECORDS = formats(Word), formats(Record)
doublewords = st.integers(0, ONES)


class Colour(IntEnum):
    RED = 1


class Light(Word, width=16):
    on = bit(0)
    colour = bits(3, 2, enum=Colour)
    level = bits(15, 8, preset=0x80, manual="LEVEL")


class Lamp(Record, dwords=2):
    light = word(0, Light)
    age = bits(99, 64)


class Traced(int):
    """An integer that remembers where it came from, as a value loaded from memory does."""

    origin = "memory"

    def __rshift__(self, n: int) -> "Traced":
        return Traced(int(self) >> n)

    def __and__(self, mask: int) -> "Traced":
        return Traced(int(self) & mask)

    def __or__(self, other: int) -> "Traced":
        return Traced(int(self) | other)


def test_all_formats_are_found():
    assert len(WORDS) > 35
    assert len(RECORDS) == 12


def test_a_word_is_an_int_that_knows_its_fields():
    light = Light(0x0105)
    assert light == 0x0105
    assert (light.on, light.colour, light.level) == (1, Colour.RED, 1)
    assert light.fields() == {"on": 1, "colour": 1, "level": 1}


def test_of_builds_from_presets_and_named_fields():
    assert Light.of() == 0x8000
    assert Light.of(on=1, colour=Colour.RED, level=0) == 0x5


def test_replace_leaves_the_other_bits_alone():
    assert Light(0xFFFF).replace(on=0, level=0x12) == 0x12FE
    assert type(Light(0).replace(on=1)) is Light


def test_a_field_on_the_class_says_where_it_is():
    level = Light.level
    assert (level.lo, level.hi, level.shift, level.width) == (8, 15, 8, 8)
    assert (level.mask, level.ones, level.name, level.manual) == (0xFF00, 0xFF, "level", "LEVEL")
    assert Lamp.age.dword == 1
    assert Lamp.age.mask == (1 << 36) - 1


def test_get_and_put_keep_what_an_integer_carries():
    loaded = Traced(0x0105)
    assert isinstance(Light.colour.get(loaded), Traced)
    assert isinstance(Light.colour.put(loaded, 2), Traced)
    assert Light.colour.put(loaded, 2) == 0x0109
    assert isinstance(Light.on.get(loaded), Traced)


def test_a_record_keeps_the_integers_it_was_made_from():
    lamp = Lamp.from_words([Traced(1), Traced(5)])
    assert isinstance(lamp[0], Traced)
    assert isinstance(lamp.age, Traced)
    assert isinstance(lamp.words()[1], Traced)
    assert type(lamp.light) is Light


def test_a_word_shows_its_fields_by_name_or_value():
    assert repr(Light.of(on=1, colour=Colour.RED, level=0x12)) == "Light(on=1, colour=RED, level=0x12)"
    assert repr(Light(0x72)) == "Light(reserved=0x72)"
    assert repr(Light(0xC)) == "Light(colour=3)"
    assert repr(Light(0)) == "Light(0)"


def test_a_record_shows_the_words_within_it():
    assert repr(Lamp.of(light=Light.of(level=0, on=1), age=7)) == "Lamp(light=Light(on=1), age=7)"
    assert repr(Lamp((0, 1 << 40))) == f"Lamp(reserved={1 << 104:#x})"


@pytest.mark.parametrize("form", WORDS, ids=lambda form: form.__name__)
def test_reserved_bits_are_the_complement_of_the_fields(form):
    union = 0
    for field in form.FIELDS.values():
        assert union & field.mask == 0
        union |= field.mask
    assert union == form.MASK
    assert (1 << form.WIDTH) - 1 ^ union == form.RESERVED
    assert sum(form.ACCESS.values()) == union


@pytest.mark.parametrize("form", RECORDS, ids=lambda form: form.__name__)
def test_reserved_bits_of_a_record_are_the_complement_of_its_words_and_fields(form):
    assert form.SIZE == 8 * form.DWORDS == 8 * len(form.RESERVED)
    for n in range(form.DWORDS):
        assert form.MASKS[n] ^ form.RESERVED[n] == ONES
    all_set = form.from_words([ONES] * form.DWORDS)
    assert all_set.reserved() == sum(r << 64 * n for n, r in enumerate(form.RESERVED))


@pytest.mark.parametrize("form", WORDS, ids=lambda form: form.__name__)
@settings(derandomize=True, deadline=None, max_examples=20)
@given(data=st.data())
def test_every_word_survives_the_way_through_its_fields(form, data):
    value = form(data.draw(doublewords) & form.MASK)
    assert form.of(**value.fields()) == value
    assert form(0).replace(**value.fields()) == value
    for name, field in form.FIELDS.items():
        assert field.get(value) == getattr(value, name) <= field.ones
        assert field.put(value, field.ones) == value | field.mask
        assert field.put(value, 0) == value & ~field.mask


@pytest.mark.parametrize("form", RECORDS, ids=lambda form: form.__name__)
@settings(derandomize=True, deadline=None, max_examples=20)
@given(data=st.data())
def test_every_record_survives_the_way_through_its_fields(form, data):
    record = form.from_words(data.draw(doublewords) & mask for mask in form.MASKS)
    assert form.of(**record.fields()) == record
    assert record.reserved() == 0
    assert record.words() == tuple(record)


@pytest.mark.parametrize("value", [Tc(0x21), Dc.of(tc=Tc.of(v=1), fsc=5)])
def test_formats_can_be_copied_and_pickled(value):
    for twin in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert twin == value
        assert type(twin) is type(value)


def test_formats_carry_no_attribute_but_their_bits():
    with pytest.raises(AttributeError):
        Tc(0).pdtw = 1
    with pytest.raises(AttributeError):
        Tc(0).v = 1


def test_a_shorter_name_is_refused_with_the_nearest_right_one():
    with pytest.raises(TypeError) as wrong:
        Light.of(colr=1)
    assert str(wrong.value) == ("Light has no field 'colr'; did you mean 'colour'? There are: on, colour, level")


def test_an_unlike_name_is_refused_with_all_names():
    with pytest.raises(TypeError) as wrong:
        Lamp.of(zzz=1)
    assert str(wrong.value) == "Lamp has no field 'zzz'; there are: light, age"


@pytest.mark.parametrize("x", [4, -1])
def test_a_value_that_does_not_fit_is_refused(x):
    with pytest.raises(ValueError, match=r"does not fit") as wrong:
        Light(0).replace(colour=x)
    assert str(wrong.value) == f"Light.colour is 2 bits wide, 0..0x3: {x:#x} does not fit"


def test_a_record_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="doublewords") as wrong:
        Lamp.from_words([1, 2, 3])
    assert str(wrong.value) == "Lamp has 2 doublewords, not 3"


def test_what_no_field_of_a_word_within_a_record_covers_is_reserved_in_the_record():
    class Lantern(Record, dwords=2):
        light = word(0, Light)
        age = bits(99, 64)

    good = Lantern.of(light=Light.of(on=1, colour=Colour.RED, level=0xFF), age=5)
    assert good.reserved() == 0
    for bit_of_none in (1, 4, 7, 16, 63, 100, 127):
        words = [good[n] | 1 << bit_of_none >> 64 * n & ONES for n in range(2)]
        assert Lantern.from_words(words).reserved() == 1 << bit_of_none


def test_overlapping_fields_are_refused():
    with pytest.raises(TypeError) as wrong:
        type(Word)("Bad", (Word,), {"low": bits(7, 0), "high": bits(15, 6)}, width=16)
    assert str(wrong.value) == "Bad.high overlaps Bad.low at bit 6"


def test_a_field_that_overlaps_an_inherited_one_is_refused():
    with pytest.raises(TypeError) as wrong:

        class Bad(Lamp):
            extra = bit(80)

    assert str(wrong.value) == "Bad.extra overlaps Bad.age at bit 80"


def test_a_field_beyond_the_width_is_refused():
    with pytest.raises(TypeError) as wrong:

        class Bad(Word, width=16):
            high = bits(16, 9)

    assert str(wrong.value) == "Bad.high ends at bit 16, beyond the 16 bits of Bad"


def test_a_field_declared_twice_is_refused():
    with pytest.raises(TypeError) as wrong:

        class Bad(Word):
            v = bit(0)
            v = bit(1)  # noqa: PIE794 the point of the test

    assert str(wrong.value).endswith("Bad.v is declared twice")


def test_a_field_with_the_name_of_a_method_is_refused():
    with pytest.raises(TypeError) as wrong:

        class Bad(Word):
            replace = bit(0)

    assert str(wrong.value) == "Bad.replace: the name is taken by Word.replace"


@pytest.mark.parametrize(
    ("hi", "lo", "message"),
    [
        (3, 5, "bits 3:5: the higher bit comes first, and none is negative"),
        (3, -1, "bits 3:-1: the higher bit comes first, and none is negative"),
        (64, 63, "bits 64:63 cross the doubleword boundary at bit 64"),
    ],
)
def test_bits_that_are_no_range_within_a_doubleword_are_refused(hi, lo, message):
    with pytest.raises(TypeError) as wrong:
        bits(hi, lo)
    assert str(wrong.value) == message


def test_an_extended_record_keeps_the_fields_of_its_base():
    extended = DcExtended.of(tc=Tc.of(v=1), fsc=Fsc.of(mode=8, ppn=5))
    assert extended.tc.v == 1
    assert extended.fsc == Dc.from_words(extended[:4]).fsc
    assert list(DcExtended.FIELDS)[:4] == list(Dc.FIELDS)


def test_presets_hold_unless_named():
    assert MsiPte.of(v=1).m == 3
    assert MsiPte.of(v=1, m=0).m == 0


@settings(derandomize=True, deadline=None)
@given(old=doublewords, new=doublewords, writable=doublewords)
def test_a_write_obeys_the_access_kind_of_every_bit(old, new, writable):
    """Bit by bit against the definitions of the access kinds."""

    class Mixed(Word, width=8):
        ro = bit(0, FieldAccess.RO)
        rw = bit(1)
        rw1c = bit(2, FieldAccess.RW1C)
        rw1s = bit(3, FieldAccess.RW1S)
        warl = bit(4, FieldAccess.WARL)
        wpri = bit(5, FieldAccess.WPRI)

    after = Mixed.written(old, new, writable)
    assert type(after) is Mixed
    o, n, w = Mixed(old), Mixed(new), Mixed(writable)
    assert after.ro == o.ro
    assert after.rw == (n.rw if w.rw else o.rw)
    assert after.warl == (n.warl if w.warl else o.warl)
    assert after.rw1c == (0 if n.rw1c and w.rw1c else o.rw1c)
    assert after.rw1s == (1 if n.rw1s and w.rw1s else o.rw1s)
    assert after.wpri == 0
    assert after & Mixed.RESERVED == 0


def test_writing_a_csr_back_clears_what_was_pending_and_keeps_the_rest():
    before = Cqcsr.of(cqen=1, cie=1, cqon=1, cmd_ill=1, cqmf=1)
    assert Cqcsr.written(before, Cqcsr.of(cqen=1, cie=1, cmd_ill=1)) == before.replace(cmd_ill=0)


def test_a_write_of_half_a_register_leaves_the_other_half():
    before = Ddtp.of(iommu_mode=4, ppn=0xABCDE12345)
    high = Ddtp.written(before, ONES, writable=ONES << 32)
    assert high & 0xFFFF_FFFF == before & 0xFFFF_FFFF
    assert high >> 32 == Ddtp.ppn.mask >> 32


def test_a_set_bit_cannot_be_written_to_0():
    assert TrReqCtl.written(TrReqCtl.of(go_busy=1), 0).go_busy == 1
