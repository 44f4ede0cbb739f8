"""What the README says will fail does fail, with the command that stands there; a pipe would hide the exit code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import cosim.cli

README = Path(__file__).parents[2] / "README.md"


def claims() -> list[tuple[str, str]]:
    """The `cosim run` commands of the README, each with the outcome that is printed below it."""
    found = []
    for block in re.findall(r"^```console[^\n]*\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S):
        command, printed = re.split(r"(?<!\\)\n", block, maxsplit=1)
        outcome = re.search(r"^(ok|failed|stuck): ", printed, re.M)
        if command.startswith("$ cosim run ") and outcome:
            found.append((command[2:].replace("\\\n> ", "").split(" | ")[0], outcome[1]))
    return found


def test_the_readme_shows_runs_that_go_right_and_two_ways_to_see_the_bug() -> None:
    found = dict(claims())
    assert [command for command, outcome in found.items() if outcome == "failed"] == [
        "cosim run concurrent_attach --driver v2",
        "cosim run concurrent_attach -s driver.attach=context-first",
    ]
    assert "ok" in found.values()


@pytest.mark.slow
@pytest.mark.parametrize(("command", "outcome"), claims())
def test_a_command_ends_as_the_readme_says(command: str, outcome: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cosim.cli.main([*shlex.split(command)[1:], "--quiet"])
    assert ended.value.code == {"ok": 0, "failed": 1}[outcome]


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["merged", "current"])
def test_the_drivers_that_link_first_are_clean(driver: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cosim.cli.main(["run", "concurrent_attach", "--driver", driver, "--quiet"])
    assert ended.value.code == 0
