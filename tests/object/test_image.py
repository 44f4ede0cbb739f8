"""Objects are linked, read and refused: the small driver of our own beside this file, and what is made of it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.isa.decode import decode
from cosim.object import elf, inlined, kept
from cosim.object.dwarf import DebugInfo
from cosim.object.errors import ObjectError
from cosim.object.image import Image, Nowhere, _load, load
from cosim.object.link import CODE, Region, _bugs, _Names

DRIVER = Path(__file__).parent / "driver"
PATHS = (DRIVER / "queue.o", DRIVER / "domain.o")
FUNCTIONS = frozenset(
    {
        *("__kmalloc_noprof", "kfree", "devm_kmalloc", "iommu_alloc_pages_node_sz", "iommu_free_pages"),
        *("_raw_spin_lock_irqsave", "_raw_spin_unlock_irqrestore", "ktime_get", "usleep_range_state"),
        *("devm_platform_ioremap_resource", "platform_get_irq", "request_threaded_irq", "free_irq"),
        *("of_msi_configure", "platform_device_msi_init_and_alloc_irqs", "platform_device_msi_free_irqs_all"),
        "msi_domain_get_virq",
        *("iommu_device_register", "iommu_device_unregister", "ida_alloc_range", "ida_free", "_dev_err", "_dev_warn"),
    }
)
COMPILER = "riscv64-linux-gnu-gcc"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Linked and translated by the code that is tested: nothing is kept of another time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("none")))
        _load.cache_clear()
        return load(PATHS, FUNCTIONS, {}, {"iommu_ops": ["probe_device"], "device": ["iommu"]})


def test_each_entry_of_a_table_of_bugs_says_where_the_bug_is_and_whether_it_only_warns() -> None:
    entries = [(-0x100, 1), (0x20, 0), (4, 0x901)]
    table = Region(0x1000, b"".join(struct.pack("<iiHH", distance, 0, 7, flags) for distance, flags in entries))
    assert list(_bugs(table)) == [(0xF00, True), (0x102C, False), (0x101C, True)]


def test_structures_are_found_by_name(image: Image) -> None:
    info = image.info
    assert (info.field("device.iommu").offset, info.structures["device"].size) == (16, 48)
    aperture = info.field("iommu_domain.geometry.aperture_end")
    assert (aperture.offset, aperture.size, aperture.kind) == (32, 8, "int")
    assert info.field("device.numa_node").signed
    assert info.enumerators["IOMMU_CAP_DEFERRED_FLUSH"] == 2


def test_a_function_of_one_object_is_called_by_the_other(image: Image) -> None:
    """own_probe of queue.c calls own_domains_start of domain.c, and the kernel."""
    called = {image.linked.symbols[name]: name for name in ("own_domains_start", "own_sync")}
    called |= image.linked.outside
    found = {called.get(target) for target in calls(image, "own_probe")}
    assert {"own_domains_start", "request_threaded_irq", "devm_kmalloc"} <= found


def calls(image: Image, function: str) -> list[int]:
    """Where the pairs of AUIPC and JALR of a function lead."""
    start = image.linked.symbols[function]
    size = next(size for at, size, _ in image.linked.functions if at == start)
    found, at, high = [], start, 0
    while at < start + size:
        instruction = decode(image.code.read(at, 4))
        if instruction.name == "auipc":
            high = at + instruction.imm
        elif instruction.name == "jalr" and instruction.rd == 1:
            found.append(high + instruction.imm & (1 << 64) - 1)
        at += instruction.length
    return found


def test_pointers_in_data_lead_to_functions(image: Image) -> None:
    ops = next(one for one in image.info.variables if one.kind == "iommu_ops")
    member = image.info.field("iommu_ops.probe_device")
    assert image.function(image.code.read(ops.address + member.offset, 8)) == "own_probe_device"


def test_an_instruction_knows_its_line(image: Image) -> None:
    source = (DRIVER / "queue.c").read_text().splitlines()
    file, _, line = image.place(image.linked.symbols["own_send"]).partition(":")
    assert file == "queue.c"
    assert "own_send" in source[int(line) - 2]


def test_behind_the_code_of_an_object_there_is_no_line(image: Image) -> None:
    """The code of the second object begins where that of the first one ends."""
    (_, middle), (_, end) = image.linked.text
    files = [image.info.place(at).partition(":")[0] for at in (middle - 2, middle, end - 2, end)]
    assert files == ["queue.c", "domain.c", "domain.c", ""]
    assert image.info.sender(end) == ""


def test_what_a_header_inlines_is_told_by_the_line_that_calls_it(image: Image) -> None:
    """The doorbell is a store of `write32` in kernel.h: own_send calls it."""
    source = (DRIVER / "queue.c").read_text().splitlines()
    bell = next(n for n, line in enumerate(source, 1) if "write32(" in line and "CQT" in line)
    start, size = next((at, size) for at, size, name in image.linked.functions if name == "own_send")
    assert f"queue.c:{bell}" in {image.place(at) for at in range(start, start + size, 2)}
    assert not any("kernel.h" in place for place in image.info.places)


IN = ("drivers/iommu/riscv/iommu.c", 450)
TABLE, FORMAT = ("drivers/iommu/generic_pt/iommu_pt.h", 300), ("drivers/iommu/generic_pt/pt_defs.h", 178)
MMIO, ASM = ("arch/riscv/include/asm/mmio.h", 34), ("./include/asm-generic/io.h", 7)


@pytest.mark.parametrize(
    ("own", "callers", "spot"),
    [
        (IN, [], IN),
        (MMIO, [ASM, IN, ("drivers/iommu/riscv/iommu.c", 9)], IN),
        (FORMAT, [TABLE], FORMAT),
        (ASM, [MMIO, TABLE], TABLE),
        (MMIO, [ASM], MMIO),
    ],
)
def test_the_line_that_is_told_is_the_innermost_of_the_driver(
    own: inlined.Spot, callers: list[inlined.Spot], spot: inlined.Spot
) -> None:
    assert inlined.told(own, callers) == spot


def test_a_call_that_was_inlined_ends_where_its_addresses_do() -> None:
    rows = [(0, IN), (4, MMIO), (16, ("", 0))]
    within = [inlined.Call(4, 8, ("iommu.c", 1), 1, "writel"), inlined.Call(6, 8, ("iommu.c", 2), 2, "cmd_send")]
    found = list(inlined.with_callers(rows, within))
    assert [(one.address, one.spot[1]) for one in found] == [(0, 450), (4, 1), (6, 2), (8, 34), (16, 0)]
    assert [one.sent for one in found] == [None, None, ("iommu.c", 2), None, None]


@pytest.mark.slow
def test_what_was_read_is_kept_under_the_digest_of_the_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _load.cache_clear()
    first = load(PATHS, FUNCTIONS, {}, {})
    assert len(list((cache / "cosim" / "objects").iterdir())) == 1
    _load.cache_clear()
    monkeypatch.setattr("cosim.object.image.debug_info", None)
    again = load(PATHS, FUNCTIONS, {}, {})
    assert (again.info, again.linked) == (first.info, first.linked)
    assert again.blocks.keys() == first.blocks.keys()
    next(kept.folder().iterdir()).write_text("{")
    for functions in (FUNCTIONS, FUNCTIONS | {"another"}):
        _load.cache_clear()
        with pytest.raises(TypeError):
            load(PATHS, functions, {}, {})


def test_what_another_version_has_read_is_read_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.kept([b"object"], lambda: 1) == 1
    assert kept.kept([b"object"], lambda: 2) == 1
    assert kept.kept([b"other"], lambda: 3) == 3
    assert kept.kept([b"wrong"], lambda: 4, unless=["a problem"]) == 4
    assert kept.kept([b"wrong"], lambda: 5) == 5
    monkeypatch.setattr(kept, "_version", lambda: b"later")
    assert kept.kept([b"object"], lambda: 6) == 6


def test_without_an_order_those_blocks_are_others_that_made_it(image: Image) -> None:
    for addresses in image.orders().values():
        other = image.without(addresses)
        made = {at for at, one in image.blocks.items() if any(one.start <= order < one.end for order in addresses)}
        assert made
        assert {at for at in image.blocks if other.block(at) is not image.blocks[at]} == made


ORDERS = (
    0x0310_000F,  # fence rw, w
    0x00B5_352F,  # amoadd.d a0, a1, (a0)
    0x04B5_352F,  # amoadd.d.aq a0, a1, (a0)
    0x02B5_352F,  # amoadd.d.rl a0, a1, (a0)
    0x06B5_352F,  # amoadd.d.aqrl a0, a1, (a0)
    0x1405_352F,  # lr.d.aq a0, (a0)
    0x1AB5_352F,  # sc.d.rl a0, a1, (a0)
    0x0000_8067,  # ret
)


def test_what_makes_order_is_a_fence_and_an_atomic_that_acquires_or_releases(image: Image) -> None:
    code = Region(CODE, b"".join(word.to_bytes(4, "little") for word in ORDERS))
    text, functions = ((CODE, code.end),), ((CODE, len(code.data), "orders"),)
    small = Image([], replace(image.linked, code=code, text=text, functions=functions), DebugInfo(), {})
    orders = [CODE + 4 * index for index in (0, 2, 3, 4, 5, 6)]
    assert small.orders() == {"orders": orders}
    found = [decode(small.without(orders).fetch(at)) for at in range(CODE, code.end, 4)]
    assert [one.name for one in found] == ["addi", *["amoadd.d"] * 4, "lr.d", "sc.d", "jalr"]
    assert not any(one.acquire or one.release for one in found)


def test_there_is_no_code_but_code(image: Image) -> None:
    for address in (0, image.linked.data.base, image.linked.symbols["own_send"] + 1, 0x8000_0000):
        with pytest.raises(Nowhere, match="no instruction of the driver"):
            image.block(address)


# --- What is refused -------------------------------------------------------------------------------------------------


def patched(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:offset] + value + whole[offset + len(value) :]


def without(section: str) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(section.encode(), b"x" * len(section))


def renamed(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(old.encode() + b"\0", new.encode().ljust(len(old), b"_") + b"\0")


def compressed(whole: bytes) -> bytes:
    """The section of that name says of itself that it is."""
    at = struct.unpack_from("<Q", whole, 40)[0]
    number = [section.name for section in elf.read(PATHS[0], whole).sections].index(elf.DEBUG_INFO)
    return patched(at + 64 * number + 8, struct.pack("<Q", elf.COMPRESSED))(whole)


def split(whole: bytes) -> bytes:
    """The compilation unit's name (DW_AT_name) becomes the name of that file (DW_AT_dwo_name)."""
    unit = bytes.fromhex("1101250e130b03")
    assert whole.count(unit) == 1
    return whole.replace(unit, unit[:-1] + b"\x76")


BAD = {
    "no ELF object": patched(0, b"text"),
    "is big-endian": patched(5, b"\2"),
    "is for RV32": patched(4, b"\1"),
    "is for AArch64": patched(18, struct.pack("<H", 183)),
    "is linked already": patched(16, b"\2\0"),
    "was cut short": lambda whole: whole[:5000],
    "no whole ELF header": lambda whole: whole[:30],
    "has no debugging information": without(".debug_info"),
    "has its debugging information compressed": compressed,
    "has its debugging information in a file of its own": split,
    "is built with KASAN": renamed("usleep_range_state", "__asan_load8"),
    "has pads for ftrace": renamed("_dev_warn", "_mcount"),
}


def last_section(kind: int, beyond: int) -> bytes:
    """The object, with its last section of another kind and so many bytes longer than the rest of the file."""
    whole = PATHS[0].read_bytes()
    at = struct.unpack_from("<Q", whole, 40)[0] + 64 * (struct.unpack_from("<H", whole, 60)[0] - 1)
    size = len(whole) - struct.unpack_from("<Q", whole, at + 24)[0] + beyond
    return patched(at + 4, struct.pack("<I", kind))(patched(at + 32, struct.pack("<Q", size))(whole))


def test_a_section_reaches_to_the_end_of_its_file_and_no_further() -> None:
    strings = 3
    elf.read(PATHS[0], last_section(strings, 0))
    with pytest.raises(ObjectError, match=f"was cut short.* of at least {PATHS[0].stat().st_size + 1};"):
        elf.read(PATHS[0], last_section(strings, 1))


def test_zeroes_take_no_room_in_a_file() -> None:
    whole = PATHS[0].read_bytes()
    number = [section.name for section in elf.read(PATHS[0], whole).sections].index(".bss")
    header = struct.unpack_from("<Q", whole, 40)[0] + 64 * number
    section = elf.read(PATHS[0], patched(header + 32, struct.pack("<Q", 1 << 20))(whole)).section(".bss")
    assert section is not None
    assert (section.size, section.data) == (1 << 20, b"")


@pytest.mark.parametrize("bounds", [("GLOBAL", "WEAK"), ("WEAK", "GLOBAL")])
def test_what_one_object_needs_is_missing_though_another_could_do_without(bounds: tuple[str, str]) -> None:
    objects = [
        elf.Relocatable(Path(f"{bound.lower()}.o"), b"", (), (elf.Symbol("kfree", 0, 0, None, "NOTYPE", bound),))
        for bound in bounds
    ]
    assert _Names(objects, {}).undefined == {"kfree": "asked for by global.o"}


@pytest.mark.parametrize("sentence", BAD)
def test_a_wrong_object_is_refused_in_a_sentence(tmp_path: Path, sentence: str) -> None:
    bad = tmp_path / "bad.o"
    bad.write_bytes(BAD[sentence](PATHS[0].read_bytes()))
    with pytest.raises(ObjectError, match=sentence) as caught:
        load([bad], FUNCTIONS, {}, {})
    assert all("bad.o" in problem or "unknown to the kernel" in problem for problem in caught.value.problems)
    assert sum("debugging information" in problem for problem in caught.value.problems) == ("debugging" in sentence)


def test_all_that_is_unknown_is_said_at_once() -> None:
    with pytest.raises(ObjectError) as caught:
        load(
            PATHS, FUNCTIONS - {"kfree", "ida_free"}, {}, {"iommu_ops": ["shape"], "iommu_pony": [], "device": ["a|b"]}
        )
    told = str(caught.value)
    assert "ida_free (asked for by domain.o), kfree (asked for by domain.o)" in told
    assert "nothing is said of struct iommu_pony" in told
    assert "struct iommu_ops has no member shape" in told
    assert "struct device has no member a|b" in told


@pytest.mark.slow
def test_one_object_of_two_lacks_what_the_other_has() -> None:
    with pytest.raises(ObjectError, match=r"own_domains_start \(asked for by queue.o\)"):
        load(PATHS[:1], FUNCTIONS, {}, {})


def test_an_object_that_is_named_twice_defines_all_twice() -> None:
    with pytest.raises(ObjectError, match="own_send is defined in"):
        load([PATHS[0], PATHS[0], PATHS[1]], FUNCTIONS, {}, {})


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ObjectError, match=r"none\.o: No such file"):
        load([tmp_path / "none.o"], FUNCTIONS, {}, {})


@pytest.mark.slow
def test_an_unknown_instruction_is_named_with_its_line(tmp_path: Path) -> None:
    """A floating-point load in the place of a return."""
    one = elf.read(PATHS[0], PATHS[0].read_bytes())
    text = one.section(".text")
    assert text is not None
    at = text.at + text.data.index(bytes.fromhex("8280"))
    bad = tmp_path / "bad.o"
    bad.write_bytes(patched(at, bytes.fromhex("0020"))(one.whole))
    with pytest.raises(ObjectError, match=r"unknown instructions: 2000 \(queue.c:\d+, in \w+\)"):
        load([bad, PATHS[1]], FUNCTIONS, {}, {})


def test_without_pyelftools_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "elftools.elf.elffile", None)
    with pytest.raises(ObjectError, match=r"pip install 'cosim\[kernel\]'"):
        elf.elftools("elf.elffile")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"{COMPILER} is not there")
def test_the_objects_are_those_of_the_source_beside_them(tmp_path: Path) -> None:
    """Byte by byte where the compiler is the one that made them; else the same symbols and structures."""
    subprocess.run([DRIVER / "build.sh", tmp_path], check=True)
    for committed in sorted(DRIVER.glob("*.o")):
        anew = elf.read(tmp_path / committed.name, (tmp_path / committed.name).read_bytes())
        old = elf.read(committed, committed.read_bytes())
        versions = [one.section(".comment") for one in (anew, old)]
        if versions[0] is not None and versions[1] is not None and versions[0].data == versions[1].data:
            assert anew.whole == old.whole
        else:
            named = [{one.name for one in each.symbols if one.bound == "GLOBAL"} for each in (anew, old)]
            assert named[0] == named[1]
