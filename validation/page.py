"""docs/validation.md, from what is kept of each target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from validation.kept import Kept, read
from validation.target import KINDS, Row, Table, Target
from validation.targets import NOT_VALIDATED, TARGETS

PAGE = "validation.md"


def page() -> str:
    """The page."""
    kept = read()
    done = [target for target in TARGETS if target.name in kept]
    lines = [
        "# Validation",
        "",
        "<!-- Written by docs/generate.py from docs/validation.json and validation/; `make validate` renews it. -->",
        "",
        "The model is held against what others have measured. `make validate` makes every run that is missing, keeps",
        "it in `.validation/`, goes on where it was stopped, and writes this page. A point is *calibrated* if the",
        "model's parameters were chosen by it, and *predicted* if they were not: only predictions say anything, and a",
        "fit that is compared on its own points is none. What agrees in shape alone is called a consistency check.",
        "",
        *_table(("target", "kind", "predicted points", "worst", "wanted"), [_summary(each, kept) for each in done]),
        "",
        f"{sum(kept[target.name].runs for target in done):,} runs, {_minutes(kept, done)} of one processor in all; "
        f"by {_models(kept, done)}.",
        "",
    ]
    for target in done:
        lines += _section(target, kept[target.name])
    lines += ["## Not validated", ""]
    for what, why in NOT_VALIDATED:
        lines += [f"* {what}: {why}"]
    return "\n".join(lines) + "\n"


def _models(kept: dict[str, Kept], done: Sequence[Target]) -> str:
    names = sorted({kept[target.name].model for target in done})
    return f"the model{'s' * (len(names) > 1)} {', '.join(names)}"


def _minutes(kept: dict[str, Kept], done: Sequence[Target]) -> str:
    return f"{sum(kept[target.name].cpu_s for target in done) / 60:.0f} minutes"


def _summary(target: Target, kept: dict[str, Kept]) -> tuple[str, ...]:
    outcome = kept[target.name].outcome
    worst = outcome.worst
    found = f"{percent(worst.error)}" if worst else "-"
    anchor = "".join(sign for sign in target.title.lower().replace(" ", "-") if sign.isalnum() or sign in "-_")
    wanted = f"{100 * target.within:g} %" if target.within else "0" if target.kind == "exact" else "-"
    return (
        f"[{target.title}](#{anchor})",
        target.kind,
        f"{len(outcome.predicted)} of {len(outcome.rows)}",
        found,
        wanted,
    )


def percent(error: float) -> str:
    """An error in percent, with its sign."""
    return f"{100 * error:+.2f} %" if error else "0"


def _section(target: Target, kept: Kept) -> Iterator[str]:
    outcome = kept.outcome
    yield f"## {target.title}"
    yield ""
    yield f"{KINDS[target.kind][0].upper()}{KINDS[target.kind][1:]}. {target.says}"
    yield ""
    yield f"Source: {target.source}."
    yield ""
    if worst := outcome.worst:
        yield (
            f"**Worst predicted point: {percent(worst.error)}** ({worst.series}, {worst.at}), of "
            f"{len(outcome.predicted)} predicted.{_missed(target, outcome.predicted)}"
        )
        yield ""
    if outcome.parameters:
        names = list(dict.fromkeys(name for values in outcome.parameters.values() for name in values))
        rows = [(name, *(values.get(path, "-") for path in names)) for name, values in outcome.parameters.items()]
        yield from _table(("calibrated", *(f"`{name}`" for name in names)), rows)
        yield ""
    if target.kind == "exact":
        yield from _exact(outcome.rows)
    else:
        yield from _points(outcome.rows, outcome.unit)
    for table in outcome.tables:
        yield from _beside(table)
    if target.limits:
        yield target.limits
        yield ""
    yield f"{kept.runs:,} runs, {kept.cpu_s:.0f} s of a processor, model {kept.model}."
    yield ""


def _missed(target: Target, rows: Sequence[Row]) -> str:
    if target.within is None:
        return ""
    far = [row for row in rows if abs(row.error) > target.within]
    if not far:
        return f" All are within the {100 * target.within:g} % that are wanted."
    return f" **{len(far)} are farther off than the {100 * target.within:g} % that are wanted.**"


def _points(rows: Sequence[Row], unit: str) -> Iterator[str]:
    for series, group in groupby(rows, key=lambda row: row.series):
        cells = [
            (
                row.at,
                number(row.measured),
                f"{number(row.found)}" + (f" ± {row.half:.2g}" if row.half else ""),
                percent(row.error),
                "calibrated" if row.calibrated else "predicted",
            )
            for row in group
        ]
        yield from _table((series, f"measured {unit}", f"model {unit}", "error", ""), cells)
        yield ""


def _exact(rows: Sequence[Row]) -> Iterator[str]:
    """Equal numbers need no column of errors: those of a case stand in one line."""
    cells = []
    for series, group in groupby(rows, key=lambda row: row.series):
        listed = list(group)
        wrong = [row for row in listed if row.error]
        said = "equal" if not wrong else ", ".join(f"{row.at}: {row.found:g} for {row.measured:g}" for row in wrong)
        cells.append((series, ", ".join(f"{row.measured:g}" for row in listed), said))
    yield from _table(("case", f"measured, at {', '.join(dict.fromkeys(row.at for row in rows))}", "model"), cells)
    yield ""


def _beside(table: Table) -> Iterator[str]:
    yield f"**{table.title}**"
    yield ""
    yield from _table(table.headings, table.rows)
    yield ""


def number(value: float) -> str:
    """A number with four digits or so."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
