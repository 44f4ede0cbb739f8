"""Files of conformance scenarios: what is read, and what is said of those that are malformed."""

import gzip
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cosim.hw.iommu.warl import Reset
from cosim.study.conform.conform import ScenarioVerdict, conform, run_file
from cosim.study.conform.json_lines import UnreadableError, lines
from cosim.study.conform.vectors import ConformanceError, HardwiredForm, are_in, read

GOOD: dict[str, Any] = {
    "name": "capabilities_read_back",
    "group": "regs_reset",
    "caps": {"version": 16, "Sv39": 1, "PAS": 46, "IGS": 1},
    "steps": [{"op": "reg_read", "off": 0, "size": 4, "val": "0x10000210"}],
}


def scenario(*steps: Any, **changes: Any) -> str:
    return json.dumps({**GOOD, **({"steps": list(steps)} if steps else {}), **changes})


def file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


WRONG = scenario({"op": "reg_read", "off": 0, "size": 4, "val": 1}, name="wrong")
NEEDS_ATS = scenario(
    {"op": "reg_write", "off": 8, "size": 4, "val": 0}, {"op": "ats_timeout", "of": [0]}, name="needs_ats"
)
LITMUS = {
    "name": "SB",
    "shape": "SB",
    "init": {"x": 0, "y": 0},
    "threads": [
        [{"op": "store", "loc": "x", "val": 1}, {"op": "load", "loc": "y", "reg": "r0"}],
        [{"op": "store", "loc": "y", "val": 1}, {"op": "load", "loc": "x", "reg": "r0"}],
    ],
    "observe": ["0:r0", "1:r0"],
    "allowed": {"sequential": [[0, 1], [1, 0], [1, 1]]},
}


class Printer:
    """Keeps what is printed: (out, err)."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.err: list[str] = []

    def __call__(self, text: str, *, err: bool = False) -> None:
        (self.err if err else self.out).append(text)


def test_a_file_gives_a_verdict_for_each_line(tmp_path: Path) -> None:
    verdicts = list(run_file(file(tmp_path, scenario(), "", WRONG, NEEDS_ATS)))
    assert [str(verdict) for verdict in verdicts] == [
        "regs_reset/capabilities_read_back: passed",
        "regs_reset/wrong: failed at step 0, register capabilities (0x0): expected 0x1, got 0x10000210",
        "regs_reset/needs_ats: skipped at step 1: ATS is not implemented",
    ]


class TestTheVerb:
    def test_what_failed_is_printed_and_the_counts_come_last(self, tmp_path: Path) -> None:
        printer = Printer()
        some = str(file(tmp_path, scenario(), WRONG, NEEDS_ATS))
        assert conform([some, some], executor="untimed", seed=0, verbose=False, echo=printer) == 1
        wrong = "regs_reset/wrong: failed at step 0, register capabilities (0x0): expected 0x1, got 0x10000210"
        assert printer.out == [
            *(wrong, wrong),
            "skipped for what is not implemented: ATS 2",
            "2 passed, 2 failed, 2 skipped",
        ]

    def test_a_terminal_gets_lines_that_fit(self, tmp_path: Path) -> None:
        printer = Printer()
        path = str(file(tmp_path, WRONG))
        assert conform([path], executor="untimed", seed=0, verbose=False, echo=printer, columns=60) == 1
        assert printer.out[0].splitlines() == [
            "regs_reset/wrong: failed at step 0, register capabilities",
            "  (0x0): expected 0x1, got 0x10000210",
        ]

    def test_a_bad_file_does_not_keep_the_others_from_being_replayed(self, tmp_path: Path) -> None:
        printer = Printer()
        bad, good = tmp_path / "bad.jsonl", str(file(tmp_path, scenario()))
        bad.write_text("")
        assert conform([good, str(bad), good], executor="untimed", seed=0, verbose=False, echo=printer) == 2
        assert printer.out == ["2 passed, 0 failed, 0 skipped"]
        assert printer.err == [f"{bad}: there is nothing in it"]

    @pytest.mark.parametrize("executor", ["untimed", "agenda", "plain"])
    def test_nothing_failed_is_exit_code_0(self, tmp_path: Path, executor: str) -> None:
        printer = Printer()
        assert conform([str(file(tmp_path, scenario()))], executor=executor, seed=3, verbose=True, echo=printer) == 0
        assert printer.out == ["regs_reset/capabilities_read_back: passed", "1 passed, 0 failed, 0 skipped"]

    def test_a_file_of_litmus_tests_is_known_by_what_is_in_it(self, tmp_path: Path) -> None:
        printer = Printer()
        path = tmp_path / "litmus.jsonl"
        path.write_text(json.dumps(LITMUS) + "\n")
        assert conform([str(path)], executor="untimed", seed=0, verbose=False, echo=printer) == 0
        assert printer.out == ["1 passed, 0 failed, 0 skipped"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "there is nothing in it"),
            ("RISCV MP\n", "holds neither conformance scenarios nor litmus tests: line 1: column 1: not JSON: "),
            ("\n" + scenario()[:-1], f"line 2: column {len(scenario())}: not JSON: "),
            ('{"stepz": []}', "line 1 has neither 'steps' nor 'threads' and 'allowed'"),
            ("[" * 200_000, "line 1: nested too deeply"),
            (scenario().replace("46", "1" * 5000), "line 1: a number in it is too long"),
            (scenario({"op": "reed"}) + "\n", "1: step 0: unknown op 'reed'"),
        ],
    )
    def test_a_file_that_is_neither_is_exit_code_2(self, tmp_path: Path, text: str, said: str) -> None:
        printer = Printer()
        path = tmp_path / "odd.jsonl"
        path.write_text(text)
        assert conform([str(path)], executor="untimed", seed=0, verbose=False, echo=printer) == 2
        assert printer.out == []
        assert said in printer.err[0]


def test_a_compressed_file_that_is_damaged_is_exit_code_2(tmp_path: Path) -> None:
    printer = Printer()
    path = tmp_path / "odd.jsonl.gz"
    data = bytearray(gzip.compress(scenario().encode()))
    data[20:40] = b"\xff" * 20
    path.write_bytes(data)
    assert conform([str(path)], executor="untimed", seed=0, verbose=False, echo=printer) == 2
    assert printer.err[0].startswith(f"{path}: ")


def test_numbers_may_be_written_either_way_and_files_compressed(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(gzip.compress(scenario({"op": "reg_read", "off": "0x0", "size": 4, "val": 0x10000210}).encode()))
    assert [verdict.outcome for verdict in run_file(path)] == ["passed"]


MALFORMED = {
    "not JSON": ('{"name": ?}', "column 10: not JSON: Expecting value"),
    "not an object": ("[1]", "[1] is not an object"),
    "an unknown key": (scenario(capz={}), "unknown key 'capz'; did you mean 'caps'?"),
    "a key that is missing": ('{"name": "x", "group": "y", "caps": {}}', "'steps' is missing"),
    "an unknown capability": (scenario(caps={"Sv93": 1}), "caps: unknown key 'Sv93'; did you mean 'Sv39'?"),
    "a capability that is too large": (
        scenario(caps={"PAS": 64}),
        "Capabilities.pas is 6 bits wide, 0..0x3f: 0x40 does not fit",
    ),
    "capabilities that disagree": (scenario(caps_raw=1), "caps are 0x2e10000210, caps_raw is 0x1"),
    "an unknown reset": (scenario(reset={"fctrl": 1}), "reset: unknown key 'fctrl'; did you mean 'fctl'?"),
    "no list": (scenario(steps={}), "steps: {} is not a list"),
    "a step without an op": (scenario({"off": 0}), "step 0: a step is an object with an 'op'"),
    "an unknown op": (scenario({"op": "reg_reed"}), "step 0: unknown op 'reg_reed'; did you mean 'reg_read'?"),
    "an unknown key of a step": (
        scenario({"op": "reg_write", "offset": 0, "size": 4, "val": 0}),
        "step 0: reg_write: unknown key 'offset'; did you mean 'off'?",
    ),
    "a key of a step that is missing": (scenario({"op": "mem_write"}), "step 0: mem_write: 'w' is missing"),
    "no number": (
        scenario({"op": "reg_read", "off": "x", "size": 4, "val": 0}),
        "step 0: reg_read: off: 'x' is not a number",
    ),
    "a truth value as a number": (
        scenario({"op": "reg_read", "off": True, "size": 4, "val": 0}),
        "step 0: reg_read: off: True is not a number",
    ),
    "an offset beyond the registers": (
        scenario({"op": "reg_write", "off": 4096, "size": 4, "val": 0}),
        "step 0: reg_write: off: 4096 is not one of 0..0xffc",
    ),
    "a negative address": (
        scenario({"op": "mem_read", "addr": -8, "data": "00"}),
        "step 0: mem_read: addr: -8 is not one of 0..0xffffffffffffffff",
    ),
    "a value that is wider than its store": (
        scenario({"op": "mem_write", "w": [[0, "0x100000000", 4]]}),
        "step 0: mem_write: w: '0x100000000' is not one of 0..0xffffffff",
    ),
    "a device that cannot be": (
        scenario({"op": "translate", "did": "0x1000000", "iova": 0, "rw": "r", "rsp": {"status": "ur"}}),
        "step 0: translate: did: '0x1000000' is not one of 0..0xffffff",
    ),
    "a flag that is neither 0 nor 1": (
        scenario({"op": "translate", "did": 0, "iova": 0, "rw": "r", "pv": 2, "rsp": {"status": "ur"}}),
        "step 0: translate: pv: 2 is not one of 0..0x1",
    ),
    "no response that is acceptable": (
        scenario({"op": "translate", "did": 0, "iova": 0, "rw": "r", "rsp_any": []}),
        "step 0: translate: rsp_any: there is nothing in the list",
    ),
    "more vectors than there are": (scenario(reset={"icvec_bits": 5}), "reset: icvec_bits: 5 is not one of 0..0x4"),
    "a mode that reset cannot set": (
        scenario(reset={"ddtp_iommu_mode": 2}),
        "reset: ddtp_iommu_mode: 2 is not one of 0..0x1",
    ),
    "a register access of two bytes": (
        scenario({"op": "reg_read", "off": 0, "size": 2, "val": 0}),
        "step 0: reg_read: size: a register access has 4 or 8 bytes, not 2",
    ),
    "nothing to compare with": (
        scenario({"op": "reg_read", "off": 0, "size": 4}),
        "step 0: reg_read: exactly one of val, one_of, min is needed",
    ),
    "two things to compare with": (
        scenario({"op": "reg_read", "off": 0, "size": 4, "val": 0, "min": 0}),
        "step 0: reg_read: exactly one of val, one_of, min is needed",
    ),
    "a store of two bytes": (
        scenario({"op": "mem_write", "w": [[0, 0, 2]]}),
        "step 0: mem_write: w: a store has 4, 8 or 16 bytes, not 2",
    ),
    "a store of one number": (
        scenario({"op": "mem_write", "w": [[0]]}),
        "step 0: mem_write: w: [0] is not [address, value] or [address, value, size]",
    ),
    "half a byte": (
        scenario({"op": "mem_read", "addr": 0, "data": "123"}),
        "step 0: mem_read: data: '123' is not an even number of hexadecimal digits",
    ),
    "a mask that is too short": (
        scenario({"op": "mem_read", "addr": 0, "data": "1234", "mask": "ff"}),
        "step 0: mem_read: mask and data differ in length",
    ),
    "a fault of an unknown kind": (
        scenario({"op": "mem_fault", "kind": "parity", "addr": 0, "len": 8}),
        "step 0: mem_fault: kind: 'parity' is none of access, corrupt",
    ),
    "an answer without a status": (
        scenario({"op": "translate", "did": 0, "iova": 0, "rw": "r", "rsp": {"pa": 0}}),
        "step 0: translate: rsp: 'status' is missing",
    ),
    "an unknown key within an answer": (
        scenario({"op": "translate", "did": 0, "iova": 0, "rw": "r", "rsp_any": [{"status": "ur", "mrif": {"x": 0}}]}),
        "step 0: translate: rsp_any: mrif: unknown key 'x'; there are: addr, nid, notice_ppn",
    ),
    "no step at all": (scenario(1), "step 0: a step is an object with an 'op'"),
    "an op that is no name": (scenario({"op": {}}), "step 0: unknown op {}; there are: mem_write, mem_read"),
    "the second of two steps": (scenario({"op": "process"}, {"op": "proces"}), "step 1: unknown op 'proces'"),
}


@pytest.mark.parametrize(("line", "text"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_scenario_is_an_error_that_names_file_line_and_step(tmp_path: Path, line: str, text: str) -> None:
    path = file(tmp_path, scenario(), line)
    with pytest.raises(ConformanceError) as error:
        list(read(path))
    assert str(error.value).startswith(f"{path}:2: {text}")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    def why(name: str, content: bytes | None = None) -> str:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableError) as error:
            list(lines(tmp_path / name))
        return str(error.value).removeprefix(str(tmp_path / name))

    assert why("missing.jsonl") == ": no such file"
    assert why("binary", b"{}\n\n \x80") == ":3:2: not UTF-8 text: the byte 0x80 cannot stand here"
    assert why("binry") == f": no such file; did you mean {tmp_path / 'binary'}?"
    assert "damaged, or ends too early" in why("torn.gz", gzip.compress(b"x" * 1000)[:20])
    assert "not compressed by gzip" in why("plain.gz", b"{}")
    os.mkfifo(tmp_path / "pipe")
    assert why("pipe") == ": a pipe or a device, not a file"
    (tmp_path / "folder").mkdir()
    assert "a folder, not a file" in why("folder")


def test_scenarios_are_told_from_other_files_by_what_is_in_them() -> None:
    assert are_in(json.loads(scenario()))
    assert not any(are_in(record) for record in ({"threads": []}, [], "steps", None))


def test_a_verdict_is_a_value() -> None:
    assert (
        ScenarioVerdict("g", "n", "passed")
        == ScenarioVerdict("g", "n", "passed")
        != ScenarioVerdict("g", "n", "failed")
    )


@pytest.mark.parametrize("line", [scenario(), json.dumps(LITMUS)])
def test_a_file_is_opened_once(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    path = file(tmp_path, line, line)
    monkeypatch.setattr("cosim.study.conform.json_lines.Path.open", _counting(opened))
    assert conform([str(path)], executor="untimed", seed=0, verbose=False, echo=Printer()) == 0
    assert opened == [path]


def _counting(opened: list[Path]) -> Any:
    real = Path.open

    def count(path: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(path)
        return real(path, *arguments, **named)

    return count


def test_what_is_hardwired_has_the_names_of_the_model() -> None:
    assert list(HardwiredForm.model_fields) == [field.name for field in fields(Reset)]
