"""The kernel's log: the gravest kinds of line, each where it came first."""

from __future__ import annotations

import re

from rich.text import Text

from cosim.study.report.page import Page, words
from cosim.study.run.kernel_lines import LogLine
from cosim.study.run.result import Result

SHOWN = 8

LEVELS = {"oops": 0, "error": 1, "warning": 2, "info": 3}
LEVEL_STYLES = {"oops": "bold red", "error": "red", "warning": "yellow"}


def kernel_log(result: Result, page: Page) -> list[Text]:
    """The kernel's log: the gravest kinds of line, each where it came first, with how many were like it."""
    kinds: dict[tuple[str, str], list[LogLine]] = {}
    for line in result.log:
        kinds.setdefault((line.level, re.sub(r"0x[0-9a-fA-F]+|\d+", "#", line.text)), []).append(line)
    gravest = sorted(kinds.values(), key=lambda alike: LEVELS.get(alike[0].level, 3))[:SHOWN]
    lines = [Text("Kernel log", "bold")] if kinds else []
    for alike in sorted(gravest, key=lambda alike: alike[0].time_ps):
        more = f" (and {len(alike) - 1:,} more like this)" if len(alike) > 1 else ""
        lines += words(f"{dmesg(alike[0])}{more}", page, LEVEL_STYLES.get(alike[0].level, ""), "  ", "    ")
    if len(kinds) > SHOWN:
        rest = sum(map(len, kinds.values())) - sum(map(len, gravest))
        lines.append(Text(f"  and {rest:,} more lines, which --json has", "dim"))
    if (dropped := result.log_lines - len(result.log)) > 0:
        text = f"the last {dropped:,} of {result.log_lines:,} lines were dropped; no more than the first are kept"
        lines += words(text, page, "yellow", "  ", "    ")
    return lines


def dmesg(line: LogLine) -> str:
    """A line with its time in seconds, and before its text who says it and how grave it is, if the text does not."""
    seconds, rest = divmod(line.time_ps, 10**12)
    text = line.text.removeprefix(f"{line.who}: ")
    said = re.match(rf"[\w -]*\b{line.level}: ", text)
    level = "" if said else f"{line.level}: "
    return f"[{seconds}.{rest // 10**6:06d}] {line.who}: {level}{text}"
