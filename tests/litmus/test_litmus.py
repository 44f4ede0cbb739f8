"""No model ever reaches what it forbids; each reaches all that it allows, and RVWMO all that in-order issue can."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cosim.study.conform.litmus import LitmusError, are_in, load, run, run_file
from tests.litmus.cases import DATA, FILES, MODELS, by_name, cases_in, length
from tests.litmus.machine import LitmusMachine

HERD = [file for file in FILES if file not in ("own.jsonl", "reasoned.jsonl")]
DOCS = Path(__file__).parents[2] / "docs"
OVERTAKEN_ATOMIC = {
    *(f"{what}-doorbell+{atomic}" for what in ("pte", "ring") for atomic in ("amo.aqrl", "cas.rl")),
    "mmiowb+fence.o.w+noctrl",
    "mmiowb+fence.o.w+fence.r.rw",
}
"""A register write that overtakes an earlier atomic: a hart that blocks on its atomics does not do that."""


def failures(file: str, shortest: int, longest: int) -> list[str]:
    chosen = [test for test in cases_in(file) if shortest <= length(test) <= longest]
    verdicts = [run(test, model) for test in chosen for model in MODELS]
    return [str(verdict) for verdict in verdicts if verdict.outcome == "failed"]


@pytest.mark.parametrize("file", HERD)
def test_the_smallest_tests_come_out_as_herd_says(file: str) -> None:
    smallest = sorted(map(length, cases_in(file)))[min(30, len(cases_in(file)) - 1)]
    assert not failures(file, 0, smallest - 1)


@pytest.mark.slow
@pytest.mark.parametrize("file", HERD)
def test_every_test_comes_out_as_herd_says(file: str) -> None:
    assert not failures(file, 0, 100)


@pytest.mark.parametrize("file", ["own.jsonl", "reasoned.jsonl"])
@pytest.mark.parametrize("model", MODELS)
def test_devices_and_walkers_observe_what_the_manual_reasons(file: str, model: str) -> None:
    verdicts = [run(test, model) for test in cases_in(file)]
    assert not [str(verdict) for verdict in verdicts if verdict.forbidden]
    missing = {verdict.test.name for verdict in verdicts if verdict.missing}
    assert missing == (OVERTAKEN_ATOMIC if file == "reasoned.jsonl" and model != "sequential" else set())


def test_the_page_on_correctness_knows_how_many_tests_there_are() -> None:
    count = sum(len(cases_in(file)) for file in FILES)
    assert f"{count:,} tests under three models" in (DOCS / "correctness.md").read_text()


def test_modelling_limits_lists_what_in_order_issue_misses() -> None:
    """Its table has the shapes with outcomes not reached, their number, and in how many tests; so does its text."""
    tests = [test for file in HERD for test in cases_in(file)]
    outcomes, among = Counter[str](), Counter[str]()
    for test in tests:
        if test.unreached:
            outcomes[test.shape] += test.unreached
            among[test.shape] += 1
    text = (DOCS / "modelling-limits.md").read_text()
    listed: dict[str, tuple[int, int]] = {}
    for shapes, *numbers in re.findall(r"^ *\| (.+?) \| ([\d, ]+) \| ([\d, ]+) \|$", text, re.MULTILINE):
        names = ["MP"] if shapes.startswith("MP,") else shapes.split(", ")
        first, second = ([int(number) for number in each.split(", ")] for each in numbers)
        listed |= dict(zip(names, zip(first, second, strict=True), strict=True))
    assert listed == {shape: (outcomes[shape], among[shape]) for shape in outcomes}
    sentence = f"of {len(tests):,} litmus tests, {among.total()} have outcomes that RVWMO allows and this hart does not"
    assert f"{sentence} reach, {outcomes.total()} in all" in " ".join(text.split())


def test_the_forbidden_outcome_of_a_failure_is_shown(tmp_path: Path) -> None:
    """A test whose expectation is wrong fails, and says what came out and what was expected."""
    line = next(line for line in (DATA / "sf_thesis.jsonl").read_text().splitlines() if '"name": "2+2W"' in line)
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(line.replace("[2, 2]]}", "[3, 3]]}") + "\n")
    sequential, tso, rvwmo = run_file(wrong)
    assert (sequential.outcome, tso.outcome, rvwmo.outcome) == ("passed", "passed", "failed")
    assert str(rvwmo) == (
        "2+2W (rvwmo): failed: reached x=2 y=2, which is forbidden; allowed: x=1 y=1 | x=1 y=2 | x=2 y=1 | x=3 y=3"
    )


def test_an_outcome_that_should_have_been_reached_is_a_failure(tmp_path: Path) -> None:
    line = next(line for line in (DATA / "sf_thesis.jsonl").read_text().splitlines() if '"name": "2+2W"' in line)
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(line.replace('"sequential": [', '"sequential": [[7, 7], ') + "\n")
    verdict = next(run_file(wrong))
    assert str(verdict) == "2+2W (sequential): failed: 0 allowed outcomes are known to be missed; missed: x=7 y=7"


def test_litmus_files_are_told_from_others() -> None:
    assert not any(are_in(record) for record in ({"steps": []}, "threads, allowed", None, [1], {"threads": []}))
    assert all(are_in(json.loads((DATA / file).read_text().partition("\n")[0])) for file in FILES)


def test_a_file_may_be_compressed(tmp_path: Path) -> None:
    file = tmp_path / "compressed.jsonl.gz"
    file.write_bytes(gzip.compress(written_by([[]], [0, 0]).encode()))
    assert [verdict.outcome for verdict in run_file(file)] == ["passed"] * 3


def written(thread: list[dict[str, Any]], **changes: Any) -> str:
    """A line of a file: a test of one thread on the locations x and y."""
    record = {"name": "a", "init": {"x": 0, "y": 0}, "threads": [thread], "observe": ["x", "y"], "allowed": {}}
    return json.dumps({**record, **changes})


def written_by(threads: list[list[dict[str, Any]]], outcome: list[int], **changes: Any) -> str:
    """A line whose only outcome, whatever the model, is `outcome`."""
    return written([], threads=threads, allowed={model: [outcome] for model in MODELS}, **changes)


def test_words_may_be_written_with_a_sign_or_without(tmp_path: Path) -> None:
    """-1 and 4294967295 are the same word, and minimum and maximum take it for the former."""
    amo = {"op": "amo", "kind": "max", "loc": "x", "val": -5, "reg": "r0"}
    cas = {"op": "cas", "loc": "x", "expect": -1, "val": -2, "reg": "r1"}
    file = tmp_path / "signed.jsonl"
    fields = {"init": {"x": 0xFFFF_FFFF}, "observe": ["0:r0", "0:r1", "x"]}
    file.write_text(
        written_by([[amo, cas]], [-1, 0xFFFF_FFFF, -2], **fields, filter={"0:r1": -1})
        + "\n"
        + written_by([[amo, cas]], [-1, -1, -3], **fields)
    )
    verdicts = list(run_file(file))
    assert [verdict.outcome for verdict in verdicts] == ["passed"] * 3 + ["failed"] * 3
    assert str(verdicts[3]).endswith("reached 0:r0=-1 0:r1=-1 x=-2, which is forbidden; allowed: 0:r0=-1 0:r1=-1 x=-3")


def test_a_device_stores_what_it_has_read(tmp_path: Path) -> None:
    """The value of a device's store may be a register, as that of a hart's may."""
    device = [
        {"op": "dma_load", "loc": "x", "reg": "r0"},
        {"op": "dma_store", "loc": "y", "val": "r0", "data_dep": ["r0"]},
        {"op": "reg_set", "loc": "dev.a", "val": "r0", "data_dep": ["r0"]},
    ]
    file = tmp_path / "device.jsonl"
    fields = {"agents": ["device"], "init": {"x": 7, "y": 0, "dev.a": 0}, "observe": ["x", "y", "dev.a"]}
    file.write_text(written_by([device], [7, 7, 7], **fields))
    assert [(verdict.outcome, verdict.missing) for verdict in run_file(file)] == [("passed", [])] * 3
    assert LitmusMachine(next(load(file)), []).run() == (7, 7, 7)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "not a litmus test: column 1: not JSON: Expecting property name"),
        ('{"name": "a"}', "not a litmus test: it has no 'threads'"),
        ("[1, 2]", "not a litmus test: it is no object"),
        (written([], init=[0, 0]), "not a litmus test: init is no object"),
        (written([], threads=None), "not a litmus test: threads is no list"),
        (written([], agents=["cpu"]), "agents has not hart or device for each of threads"),
        (written([], agents=["hart", "hart"]), "agents has not hart or device for each of threads"),
        (written([], threads=[["load"]]), "thread 0, operation 0: 'load' is no object"),
        (written([{"op": "store", "loc": "x"}]), "thread 0, operation 0: store has no 'val'"),
        (written([{"op": "cas", "loc": "x", "val": 1, "reg": "r0"}]), "cas has no 'expect'"),
        (written([{"op": "load", "loc": "x", "reg": "r0"}] * 2), "operation 1: r0 has been assigned before"),
        (written([{"op": "jump"}]), "thread 0, operation 0: jump is no operation; there are: amo, cas, fence"),
        (written([{"op": "load", "loc": "z", "reg": "r0"}]), "operation 0: z is no location; there are: x, y"),
        (written([{"op": "load", "loc": "x", "reg": "r0", "addr_dep": ["r0"]}]), "r0 is no register of this thread so"),
        (
            written([{"op": "store", "loc": "x", "val": "r7"}]),
            "r7 is no register of this thread so far; there are: none",
        ),
        (written([{"op": "store", "loc": "x", "val": 1.5}]), "1.5 is no value of a word"),
        (written([], init={"x": None, "y": 0}), "None is no value of a word"),
        ("[" * 200_000, "not a litmus test: nested too deeply"),
        (written([], unreached={"inorder_stale": "1"}), "not a litmus test: unreached: inorder_stale is no number"),
        (written([], unreached={}), "not a litmus test: unreached: it has no 'inorder_stale'"),
        (written([], threads=[{}]), "not a litmus test: thread 0: {} is no list"),
        (written([{"op": "load", "loc": "x", "reg": "r0", "aq": 1}]), "thread 0, operation 0: aq is no truth value"),
        (written([{"loc": "x"}]), "not a litmus test: thread 0, operation 0: it has no 'op'"),
        (written([], init={"x": 1.5, "y": 0}), "not a litmus test: init: x: 1.5 is no value of a word"),
        (written([{"op": "fence", "pred": "rx", "succ": "w"}]), "the sets of a fence are made of i, o, r and w"),
        (
            written([{"op": "mmio_store", "loc": "x", "val": 1}]),
            "mmio_store needs a register, such as dev.doorbell, not",
        ),
        (written([{"op": "dma_load", "loc": "x", "reg": "r0"}]), "dma_load is no operation; there are: amo"),
        (written([], observe=["0:r0"]), "observe: 0:r0 is no register or location; there are: x, y"),
        (written([], allowed={"tso": [[1]]}), "allowed: tso: [1] has not one value for each of ['x', 'y']"),
        (written([], allowed={"arm": []}), "allowed: arm is no memory model; there are: sequential, tso, rvwmo"),
        (
            written([{"op": "amo", "kind": "nand", "loc": "x", "val": 1}]),
            "nand is no kind of atomic; there are: swap, add",
        ),
    ],
)
def test_a_malformed_file_is_an_error_at_its_line(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("\n" + text + "\n")
    with pytest.raises(LitmusError, match=r"bad\.jsonl:2: ") as raised:
        list(load(file))
    assert error in str(raised.value)


def test_names_are_unique() -> None:
    assert len(by_name()) == sum(len(cases_in(file)) for file in FILES)
