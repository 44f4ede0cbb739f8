"""The verdict of a run: whether it went right, why not, how to see it again, and what was measured."""

from __future__ import annotations

from rich.text import Text

from cosim.oracles import EndlessCall
from cosim.study.report.devices import about_devices
from cosim.study.report.page import Page, words
from cosim.study.report.parts import parts_of
from cosim.study.report.seen import effects, seen
from cosim.study.run.result import Result
from cosim.units.quantities import format_time

SHOWN_SIGNATURES = 4
SHOWN_UNFINISHED = 3
SHOWN_INACTIVE = 3

EMPTY = "every command queue was empty in the measured window: whoever waits for room in one (cq_full) has lost count"

STYLES = {"ok": "bold green", "failed": "bold red", "stuck": "bold red", "interrupted": "bold yellow"}


def headline(result: Result, page: Page) -> list[Text]:
    return words(result.limit, page, "bold")


def outcome(result: Result, page: Page) -> list[Text]:
    """Whether it went right, why not, and how to see it again; what was measured, and what not."""
    schedule = f", schedule {','.join(result.schedule)}" if result.schedule else ""
    run = f"{result.topology}, driver {result.driver}, seed {result.seed}{schedule}"
    lines = words(f"{result.outcome}: {run}, digest {result.digest}", page, rest="  ")
    lines[0].stylize(STYLES[result.outcome], 0, len(result.outcome))
    failures = [line for failure in result.failures for line in words(failure, page, "red", "  ! ", "    ")]
    first = min(result.violations, key=lambda violation: violation.time_ps, default=None)
    if result.outcome == "stuck" and first is not None and first.oracle != EndlessCall.name:
        lines += _violations(result, page) + failures  # what came first may be why it is stuck
    else:
        lines += failures + _violations(result, page)
    if could := seen(result.seen):
        lines += words(could, page, "" if result.seen["touched"] else "yellow", "  ", "    ")
    if had := effects(result.seen):
        lines += words(had, page, "", "  ", "    ")
    for sentence in about_devices(result):
        lines += words(sentence, page, "yellow", "  ? ", "    ")
    if result.window_ps[0] < result.window_ps[1] and not result.ended:
        lines += words("nothing ended in the measured window", page, "yellow", "  ? ", "    ")
    for name, call in list(result.unfinished.items())[:SHOWN_UNFINISHED]:
        lines += words(f"{name} has not returned for {_time(call.age_ps)}", page, "yellow", "  ? ", "    ")
        lines += parts_of(call.age_ps, call.parts, None, page, "    ")
    if len(result.unfinished) > SHOWN_UNFINISHED:
        lines.append(Text(f"  and {len(result.unfinished) - SHOWN_UNFINISHED} more calls", "yellow"))
    if _waits_in_vain(result):
        lines += words(EMPTY, page, "yellow", "  ? ", "    ")
    for name, why in list(result.inactive.items())[:SHOWN_INACTIVE]:
        lines += words(f"{name} {why}", page, "yellow", "  ? ", "    ")
    if len(result.inactive) > SHOWN_INACTIVE:
        lines.append(Text(f"  and {len(result.inactive) - SHOWN_INACTIVE} more threads", "yellow"))
    for choice in result.unasked:
        near = f"; {result.nearest[choice]}" if choice in result.nearest else ""
        lines += words(f"the run never came to {choice} of the schedule{near}", page, "yellow", "  ? ", "    ")
    for step in result.idle_steps:
        lines += words(f"{step} was taken out, and the run never came to it", page, "yellow", "  ? ", "    ")
    if result.replay and (result.violations or result.failures):
        lines.append(Text(f"  replay: {result.replay}"))
    return [*lines, *words(_window(result), page, "dim")]


def _waits_in_vain(result: Result) -> bool:
    """Whether a call that has not returned waits for room in a command queue, and all of them were empty meanwhile."""
    depths = [depth for name, depth in result.scalars.items() if name.endswith(".cq.depth_ps")]
    waiting = any("cq_full" in call.parts for call in result.unfinished.values())
    return waiting and bool(depths) and not any(depths)


def _violations(result: Result, page: Page) -> list[Text]:
    """The first violation of each signature, and how many there were of it."""
    lines: list[Text] = []
    shown = list(result.signatures)[:SHOWN_SIGNATURES]
    for signature in shown:
        count = result.signatures[signature]
        first = next(violation for violation in result.violations if violation.signature == signature)
        lines += words(f"{first.oracle}: {first.message}", page, "red", "  violation of ", "    ")
        lines += words(f"{count:,} of {signature}", page, "red", "    ", "      ")
    if rest := list(result.signatures)[SHOWN_SIGNATURES:]:
        more = sum(result.signatures[signature] for signature in rest)
        signatures = f"{len(rest)} other signature{'s' * (len(rest) != 1)}"
        lines += words(f"and {more:,} more, of {signatures}", page, "red", "  ", "    ")
    return lines


def _window(result: Result) -> str:
    begin, end = result.window_ps
    if end <= begin:
        ended = _time(result.simulated_ps)
        what = "boot was done" if result.boot_ps < 0 else "the warm-up was over"
        return f"nothing was measured: the run ended at {ended}, before {what}"
    after, until = begin - result.boot_ps, end - result.boot_ps
    text = f"measured {_time(end - begin)} of simulated time"
    if after > 1:
        text += f", from {_time(after)} to {_time(until)}"
    return f"{text} after boot, which took {_time(result.boot_ps)}"


def _time(ps: int) -> str:
    return format_time(ps, 4)
