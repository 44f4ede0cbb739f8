"""Commands and records: how a driver writes them, which ones the IOMMU refuses."""

import json
from pathlib import Path

import pytest

from cosim.spec.faults import Cause, Ttyp
from cosim.spec.queues import (
    COMMANDS,
    Ats,
    Command,
    FaultRecord,
    IllegalCommandError,
    InvalPayload,
    Iodir,
    Iofence,
    Iotinval,
    Opcode,
    PageRequest,
    PageRequestPayload,
    PrgrPayload,
    ResponseCode,
    decode,
    process_id_bits,
)
from cosim.spec.registers import Capabilities

DATA = Path(__file__).parent / "data"
FULL = Capabilities.of(sv39x4=1, ats=1, nl=1, s=1, pd20=1)
NO_COMMAND = "is that of no command; there are 1 (IOTINVAL), 2 (IOFENCE), 3 (IODIR), 4 (ATS)"

WELL_FORMED = [
    (Iotinval.vma(), "IOTINVAL.VMA", (0x1, 0)),
    (Iotinval.vma(pscid=5), "IOTINVAL.VMA", (0x1_0000_5001, 0)),
    (Iotinval.vma(pscid=0xABCDE, addr=0x7FFF1_000), "IOTINVAL.VMA", (0x1_ABCD_E401, 0x1FFFC400)),
    (Iotinval.vma(gscid=0x1234, addr=0x7FFF1_000, nl=1), "IOTINVAL.VMA", (0x0123_4006_0000_0401, 0x1FFFC400)),
    (Iotinval.vma(addr=0x20_0000, pages_lg2=9), "IOTINVAL.VMA", (0x401, 0xBFE00)),
    (Iotinval.gvma(), "IOTINVAL.GVMA", (0x81, 0)),
    (Iotinval.gvma(gscid=0x1234, addr=0x1000), "IOTINVAL.GVMA", (0x0123_4002_0000_0481, 0x400)),
    (Iofence.c(), "IOFENCE.C", (0x2, 0)),
    (Iofence.c(pr=1, pw=1), "IOFENCE.C", (0x3002, 0)),
    (Iofence.c(addr=0x8000_0004, data=0xDEADBEEF, wsi=1), "IOFENCE.C", (0xDEAD_BEEF_0000_0C02, 0x2000_0001)),
    (Iodir.inval_ddt(), "IODIR.INVAL_DDT", (0x3, 0)),
    (Iodir.inval_ddt(0x123456), "IODIR.INVAL_DDT", (0x1234_5602_0000_0003, 0)),
    (Iodir.inval_pdt(0x123456, 0xABCDE), "IODIR.INVAL_PDT", (0x1234_5602_ABCD_E083, 0)),
    (Ats.inval(0x1234, addr=0x7FFF1_000), "ATS.INVAL", (0x0012_3400_0000_0004, 0x7FFF1_000)),
    (Ats.inval(0x1234, pid=7, dseg=9), "ATS.INVAL", (0x0912_3403_0000_7004, 0x7FFF_FFFF_FFFF_F800)),
    (Ats.inval(0, addr=0x20_0000, pages_lg2=9, g=1), "ATS.INVAL", (0x4, 0x2FF801)),
    (Ats.prgr(0x1234, 5, ResponseCode.INVALID_REQUEST), "ATS.PRGR", (0x0012_3400_0000_0084, 0x1005 << 32)),
]


@pytest.mark.parametrize(("command", "mnemonic", "words"), WELL_FORMED)
def test_a_command_has_the_manuals_bits_and_decodes_to_itself(command, mnemonic, words):
    assert command == words
    decoded = decode(words, FULL, wsi=1)
    assert type(decoded) is type(command)
    assert decoded.fields() == command.fields()
    assert decoded.mnemonic == mnemonic


def command_rows():
    return [json.loads(line) for line in (DATA / "commands.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", command_rows(), ids=lambda row: f"{row['scenario']}-{row['words'][0]}")
def test_the_conformance_vectors_commands_are_judged_as_they_say(row):
    words = [int(w, 0) for w in row["words"]]
    capabilities = Capabilities(int(row["capabilities"], 0))
    if row["legal"]:
        assert decode(words, capabilities, wsi=row["wsi"]) == tuple(words)
    else:
        with pytest.raises(IllegalCommandError):
            decode(words, capabilities, wsi=row["wsi"])


@pytest.mark.parametrize(
    ("command", "capabilities", "message"),
    [
        (
            Command((0, 0)),
            FULL,
            f"opcode 0 {NO_COMMAND}",
        ),
        (
            Command((64, 0)),
            FULL,
            f"opcode 64 {NO_COMMAND}",
        ),
        (Iofence.of(func3=1), FULL, "IOFENCE has no func3 1; there are 0 (C)"),
        (Ats.of(func3=2), FULL, "ATS has no func3 2; there are 0 (INVAL), 1 (PRGR)"),
        (Iodir((0x403, 0)), FULL, "IODIR.INVAL_DDT: reserved bits 0x400 are set"),
        (Iotinval((1, 1 << 63)), FULL, f"IOTINVAL.VMA: reserved bits {1 << 127:#x} are set"),
        (Iotinval.vma(addr=0, nl=1), Capabilities(0), "IOTINVAL.VMA: NL is reserved where capabilities.NL is 0"),
        (Iotinval.gvma(addr=0, pages_lg2=1), Capabilities(0), "IOTINVAL.GVMA: S is reserved where capabilities.S is 0"),
        (Iotinval.gvma().replace(pscv=1), FULL, "IOTINVAL.GVMA: PSCV=1 is for IOTINVAL.VMA only"),
        (Iofence.c(wsi=1), FULL, "IOFENCE.C: WSI is reserved where fctl.WSI is 0"),
        (Iodir.inval_ddt().replace(pid=1), FULL, "IODIR.INVAL_DDT: PID is reserved in IODIR.INVAL_DDT"),
        (Iodir.inval_pdt(1, 1).replace(dv=0), FULL, "IODIR.INVAL_PDT: DV must be 1 in IODIR.INVAL_PDT"),
        (Iodir.inval_ddt(0x8000), FULL, "IODIR.INVAL_DDT: DID 0x8000 is wider than the 15 bits of ddtp.iommu_mode"),
        (
            Iodir.inval_pdt(1, 256),
            Capabilities.of(pd8=1),
            "IODIR.INVAL_PDT: PID 0x100 is wider than the 8 bits of capabilities",
        ),
        (
            Iodir.inval_pdt(1, 0),
            Capabilities(0),
            "IODIR.INVAL_PDT: unsupported where capabilities has no process directory",
        ),
        (Iotinval.gvma(), Capabilities.of(sv57=1), "IOTINVAL.GVMA: unsupported where capabilities has no second stage"),
        (Ats.inval(1), Capabilities(0), "ATS.INVAL: unsupported where capabilities.ATS is 0"),
    ],
)
def test_an_illegal_command_is_told_by_the_rule_it_breaks(command, capabilities, message):
    with pytest.raises(IllegalCommandError) as wrong:
        decode(command, capabilities, did_bits=15)
    assert str(wrong.value) == message


def test_each_opcode_has_one_format():
    assert {opcode: form.OPCODE for opcode, form in COMMANDS.items()} == {opcode: opcode for opcode in Opcode}
    assert {form.SIZE for form in COMMANDS.values()} == {16}


def test_operands_that_are_ignored_do_not_make_a_command_illegal():
    decode(Iotinval.vma().replace(pscid=5, gscid=7, addr=9, s=1, nl=1), FULL)
    decode(Iodir.inval_ddt().replace(did=0xFFFFFF), FULL, did_bits=6)
    decode(Iofence.c().replace(addr=9, data=9), FULL)


@pytest.mark.parametrize(
    ("command", "pages"),
    [
        (Iotinval.vma(addr=0x5000), (5, 0)),
        (Iotinval.vma(addr=0x2000, pages_lg2=1), (2, 1)),
        (Iotinval.gvma(addr=0x4000_0000, pages_lg2=18), (0x40000, 18)),
        (Iotinval.vma(addr=0xFFFF_FFFF_FFFF_F000), ((1 << 52) - 1, 0)),
    ],
)
def test_an_invalidation_says_which_pages_it_means(command, pages):
    assert command.pages == pages


def test_a_fence_stores_at_a_multiple_of_four():
    assert Iofence.c(addr=0x8000_0004).address == 0x8000_0004
    with pytest.raises(ValueError, match="multiple of 4") as wrong:
        Iofence.c(addr=0x8000_0002)
    assert str(wrong.value) == "IOFENCE.C stores at a multiple of 4, not at 0x80000002"


@pytest.mark.parametrize(
    ("caps", "width"), [({}, 0), ({"pd8": 1}, 8), ({"pd8": 1, "pd17": 1}, 17), ({"pd17": 1, "pd20": 1}, 20)]
)
def test_the_widest_process_directory_bounds_process_ids(caps, width):
    assert process_id_bits(Capabilities.of(**caps)) == width


def test_payloads_have_the_manuals_bits():
    assert InvalPayload.of(g=1, s=1, address=0xABC) == 0xABC801
    assert PrgrPayload.of(prgi=0x1FF, response_code=ResponseCode.RESPONSE_FAILURE) == 0xF1FF << 32
    assert PageRequestPayload.of(r=1, w=1, l=1, prgi=0x1FF, address=1) == 0x1FFF


def test_a_stop_marker_asks_for_no_page_but_is_the_last():
    assert PageRequestPayload.of(l=1).stop_marker
    assert not PageRequestPayload.of(l=1, r=1).stop_marker
    assert not PageRequestPayload.of().stop_marker


def test_a_fault_record_has_the_manuals_bits():
    record = FaultRecord.of(
        cause=Cause.READ_PAGE_FAULT,
        pid=0xABCDE,
        pv=1,
        priv=1,
        ttyp=Ttyp.UNTRANSLATED_READ,
        did=0x123456,
        iotval=0x4000_1000,
        iotval2=0x8001,
    )
    assert record == (0x1234_560B_ABCD_E00D, 0, 0x4000_1000, 0x8001)
    assert FaultRecord.SIZE == 32
    assert repr(record.replace(pid=0, pv=0, priv=0)) == (
        "FaultRecord(cause=READ_PAGE_FAULT, ttyp=UNTRANSLATED_READ, did=0x123456, iotval=0x40001000, iotval2=0x8001)"
    )


def test_a_page_request_has_the_manuals_bits():
    request = PageRequest.of(pid=1, pv=1, priv=1, exec=1, did=2, payload=PageRequestPayload.of(r=1, address=5))
    assert request == (0x207_0000_1000, 0x5001)
    assert request.payload.address == 5
    assert PageRequest.SIZE == 16
