"""Every sum that a report prints is one: the printed report is read as a reader would, and its terms are added."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

import cosim
from cosim.study.report.report import print_report
from cosim.study.run.result import Result
from tests.study.run.results import result, stale_dma
from tests.study.run.test_verdicts import ILLEGAL, SWITCH, UNMAP

NUMBER = r"\d[\d,]*(?:\.\d+)?"


def printed(run: Result, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    file = io.StringIO()
    print_report(run, file)
    return file.getvalue()


def number(text: str) -> int:
    """A printed number in its last decimals."""
    return int(text.replace(",", "").replace(".", ""))


def statements(report: str, begin: str, rest: str) -> list[str]:
    """The lines that begin so, each with the lines that go on below it."""
    return [text.replace(f"\n{rest}", " ") for text in re.findall(rf"^{begin}.*(?:\n{rest}\S.*)*", report, re.M)]


def sums(report: str) -> list[tuple[int, list[int]]]:
    """Every total that is printed, with its terms."""
    found = []
    for line in statements(report, r"  (?:commands|faults) +\d", " " * 12):
        total, _, terms = re.sub(r" (besides|\(stood) .*", "", line).partition(" = ")
        counts = [number(term.split()[-1]) for term in terms.split(" + ")] if terms else []
        found.append((number(total.split()[-1]), counts))
    for line in statements(report, r"  [\w.]+  \d[\d,]* of [^=]*=", " " * 6):
        total, _, terms = line.partition(" = ")
        found.append((number(total.split()[1]), [int(n) for n in re.findall(r"(?:refused|bus) (\d+)", terms)]))
        found += [(int(n), [int(m) for m in re.findall(r"(\d+)", inner)]) for n, inner in re.findall(INNER, terms)]
    for row, below in re.findall(r"^(\S.* +[\d,.]+ .*)\n((?:  = |    \+ ).*(?:\n    \+ .*)*)", report, re.M):
        terms = [number(n) for n in re.findall(rf" ({NUMBER})(?= \+| \(|\n|$)", below.replace("\n   ", ""))]
        found.append((number(re.findall(rf" ({NUMBER})(?= |$)", row)[1]), terms))
    return found


INNER = r"(\d+) \(((?:[a-z_]+ \d+(?: \+ )?)+)\)"


RUNS = {
    "made by hand": lambda path: result(),
    "failed requests": lambda path: stale_dma(),
    "a domain switch": lambda path: cosim.run(written(path, SWITCH)),
    "an illegal command": lambda path: cosim.run(written(path, UNMAP), driver=f"{driver(path)}:Illegal"),
    "quickstart": lambda path: cosim.run("quickstart", until="150 us"),
}


def written(path: Path, text: str) -> Path:
    (path / "topology.yaml").write_text(text, encoding="utf-8")
    return path / "topology.yaml"


def driver(path: Path) -> Path:
    (path / "illegal.py").write_text(ILLEGAL, encoding="utf-8")
    return path / "illegal.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_sum_that_is_printed_adds_up(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RUNS[name](tmp_path)
    for columns in (80, 60):
        report = printed(run, columns, monkeypatch)
        found = sums(report)
        assert found
        assert [total for total, terms in found if total != sum(terms)] == [], report
        assert not too_long(report, columns), report
    assert not too_long(printed(run, 40, monkeypatch), 40)


def too_long(report: str, columns: int) -> list[str]:
    """Lines that could have been broken: a command is not, nor is a path, which is one word."""
    lines = [line for line in report.splitlines() if "replay: " not in line]
    return [line for line in lines if len(line) > columns and " " in line.strip()]


@pytest.mark.parametrize("broken", ["  commands  3 = illegal 276 + iofence 2", "  nic0  3 of 9 = refused 1 (a 1)"])
def test_a_sum_that_does_not_add_up_is_seen(broken: str) -> None:
    assert any(total != sum(terms) for total, terms in sums(broken))
