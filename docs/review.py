"""What the searches of the experiments in `topologies/review/` came to: docs/review.md, and the table in README.md.

`make review` searches, which takes many minutes, and leaves its outcome in docs/review.json; everything here is made
from that file and from the topologies. ``python docs/review.py`` prints the table, ``python docs/review.py OUTCOME...``
first takes in what searches have written, beside what is kept of other topologies.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "review.json"
PAGE = "review.md"
FOLDER = ROOT / "topologies" / "review"
DRIVERS = ("v2", "v2-as-posted", "merged", "current", "latest", "ideal")
WIDTH = 80
LAST = 19
"""Characters of the table's last column."""
ROW_FIELDS = ("topology", "driver", "remark", "reached_by", "wanted", "as_wanted", "deviations", "cells", "runs")
ROW_FIELDS += ("complete", "actions", "conflicts", "stopped")
FOUND_FIELDS = ("n", "deviations", "signature", "schedule", "cell")

Row = dict[str, Any]


def taken_in(outcomes: Sequence[dict[str, Any]], before: dict[str, Any]) -> dict[str, Any]:
    """What is kept of outcomes of `cosim explore`: of each row what the pages tell, the last outcome of a topology.

    What was kept `before` stays for topologies that are in no outcome and still there.
    """
    rows: dict[str, list[Row]] = {}
    for outcome in outcomes:
        for name, group in groupby(outcome["rows"], key=lambda row: str(row["topology"])):
            rows[name] = [_short(row) for row in group]
    models = {str(outcome["model"]) for outcome in outcomes}
    stays = {name: group for name, group in experiments(before["rows"]) if name not in rows and _file(name).exists()}
    models |= {*before["models"]} if stays else set()
    found = experiments(chain(*stays.values(), *rows.values()))
    return {"models": sorted(models), "rows": [row for _, group in found for row in group]}


def _short(row: Row) -> Row:
    found = row["found"] and {name: row["found"][name] for name in FOUND_FIELDS}
    return {name: row[name] for name in ROW_FIELDS} | {"found": found}


def kept() -> dict[str, Any]:
    """The outcome of the last whole search."""
    data: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return data


def experiments(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of each topology, in the order of the remarks: B before C before N, by number."""
    groups = [(name, list(group)) for name, group in groupby(rows, key=lambda row: str(row["topology"]))]
    return sorted(groups, key=lambda group: (_place(group[1][0]["remark"]), group[0]))


def _place(remark: str) -> tuple[int, str, int]:
    match = re.match(r"([A-Z])(\d+)", remark)
    return (0, match[1], int(match[2])) if match else (1, remark, 0)


def title(name: str) -> str:
    """The first line of a topology."""
    return _file(name).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").rstrip(".")


def _file(name: str) -> Path:
    return FOLDER / f"{name}.yaml"


def is_mutant(row: Row) -> bool:
    """Whether the driver is one with a step taken out."""
    return ".without=" in row["driver"]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of 80 characters: each remark, in which drivers it is found after how many schedules, and who is clean."""
    yield "remark           found in (after n schedules; k deviations)   clean in"
    for _, group in experiments(rows):
        found = [row for row in group if row["found"] and not is_mutant(row)]
        mutants = [row for row in group if row["found"] and is_mutant(row)]
        told = [f"{row['driver']} ({row['found']['n']}; {row['found']['deviations']})" for row in found]
        told += [f"{len(mutants)} driver{'s' * (len(mutants) != 1)} with a step less"] if mutants else []
        clean = [_short_name(row["driver"]) + _bound(row) for row in group if not row["found"]]
        columns = (
            textwrap.wrap(group[0]["remark"], 15),
            textwrap.wrap(", ".join(told) or "nobody", 42, break_long_words=False, break_on_hyphens=False),
            textwrap.wrap(", ".join(clean) or "nobody", LAST, break_long_words=False, break_on_hyphens=False),
        )
        for line in range(max(map(len, columns))):
            one, two, three = (column[line] if line < len(column) else "" for column in columns)
            yield f"{one:16} {two:43} {three}".rstrip()


def _short_name(driver: str) -> str:
    """The name of a driver in the last column: what is too long for a line of it is told without its axis."""
    return " ".join(word.partition(".")[2] if len(word) > LAST - 1 else word for word in driver.split())


def _bound(row: Row) -> str:
    """How far a clean row was searched, where that is not the bound of its experiment."""
    return "" if not row["stopped"] else f" (k <= {row['complete']})"


def page() -> str:
    """The page: each experiment with all its rows."""
    data = kept()
    lines = [
        "# The review, remark by remark",
        "",
        "<!-- Written by docs/generate.py from docs/review.json and topologies/review/; `make review` renews it. -->",
        "",
        "Each remark of the review, and each further defect of the driver, is an experiment that anybody can run: a",
        "topology, and what has to come out of it. Below is what a search of each came to, at its first hold and its",
        f"first starts (`make review`, model {' and '.join(data['models'])}). *n* is how many schedules were run",
        "until it was found, the unperturbed one included, *k* how many of their answers differ from it. A clean row",
        "says how many schedules there are up to its bound, all of which were run; beside it stands what the same",
        "search finds. Where the time was over before, nothing was found in *n* schedules, and *k* is as far as all",
        "of them were run.",
        "[Exploring](exploring.md) says what that is worth.",
        "",
    ]
    for name, rows in experiments(data["rows"]):
        first = rows[0]
        lines += [f"## {title(name)}", ""]
        lines += [f"`cosim explore {name}`; in Linux it is reached by {', '.join(first['reached_by'])}.", ""]
        lines += ["| driver | outcome | k | n | what is seen |", "|---|---|---|---|---|"]
        for row in rows:
            found = row["found"]
            if found:
                news = "" if row["wanted"] else " (news)"
                cells = ("found" + news, found["deviations"], found["n"], f"`{found['signature']}`")
            else:
                numbers = f"{row['actions'][1]:,} actions, {row['conflicts'][1]:,} in conflict"
                outcome = "**not found**" if row["wanted"] else "nothing found" if row["stopped"] else "clean"
                cells = (outcome, row["complete"], row["runs"], numbers)
            lines.append(f"| `{row['driver']}` | " + " | ".join(map(str, cells)) + " |")
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Print the table; take in outcomes first, if some are named."""
    if arguments:
        outcomes = [json.loads(Path(path).read_text(encoding="utf-8")) for path in arguments]
        KEPT.write_text(json.dumps(taken_in(outcomes, kept()), indent=0) + "\n", encoding="utf-8")
    print("\n".join(table(kept()["rows"])))


if __name__ == "__main__":
    main(sys.argv[1:])
