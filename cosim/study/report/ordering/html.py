"""A picture as a page of its own: one file that needs no other, for any width, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from cosim.study.report.ordering.picture import Cell, Line, Picture
from cosim.study.report.ordering.steps import sources_told

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fdfdfb; --faint: #6a7280; --line: #d9dce1;
  --held: #b45309; --held-paper: #fdf1df; --bad: #b3261e; --bad-paper: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #16181c; --faint: #9aa1ac; --line: #33373f;
  --held: #f0b35a; --held-paper: #2e2616; --bad: #ff8a80; --bad-paper: #351c1b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 75rem; color: var(--ink); background: var(--paper);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.25rem; margin: 0 0 .25rem; }
code, td, th, time { font-family: ui-monospace, monospace; font-size: .85rem; }
code { overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.faint, time, small { color: var(--faint); }
table { width: 100%; border-collapse: collapse; margin: 1rem 0; table-layout: fixed; }
th { text-align: left; border-bottom: 2px solid var(--line); position: sticky; top: 0; background: var(--paper); }
th:first-child { width: 5.5rem; }
th, td { padding: .15rem .5rem; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { text-align: right; }
.held { border-left: 3px solid var(--held); background: var(--held-paper); }
.begins { border-top: 2px solid var(--held); }
.ends { border-bottom: 2px solid var(--held); }
.bad td { border-bottom: 2px solid var(--bad); }
.bad .said { background: var(--bad-paper); }
.rule { border-left: 4px solid var(--bad); background: var(--bad-paper); padding: .5rem .75rem; }
@media (max-width: 45rem) {
  body { padding: .75rem; }
  thead { display: none; }
  table, tbody, tr, td { display: block; width: 100%; }
  tr { border-top: 1px solid var(--line); padding: .25rem 0; }
  td { padding: 0 0 0 .5rem; }
  td:first-child { text-align: left; }
  td:empty { display: none; }
  td.said::before { content: attr(data-who) ": "; color: var(--faint); }
}
"""


def html(picture: Picture) -> str:
    """The page, as text."""
    return "\n".join(_all(picture)) + "\n"


def _all(picture: Picture) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(picture.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    yield f"<h1>{escape(picture.title)}</h1>"
    if picture.schedule:
        yield f"<p>schedule <code>{escape(', '.join(picture.schedule))}</code></p>"
    yield f'<p class="faint">{escape(picture.clock)}</p>'
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in picture.columns)
    yield f'<table>\n<thead><tr><th scope="col">us</th>{heads}</tr></thead>\n<tbody>'
    for line in picture.lines:
        yield _row(line, picture)
    yield "</tbody>\n</table>"
    if picture.left_out:
        yield f'<p class="faint">{picture.left_out} more lines have no room.</p>'
    for page in picture.pages:
        yield f"<p><code>{escape(page)}</code></p>"
    rule = f"<b>{escape(picture.oracle)}</b>: {escape(picture.rule)}" if picture.oracle else "<b>failed</b>"
    yield f'<div class="rule"><p>{rule}</p>'
    yield f"<p>{escape(picture.message)}</p></div>"
    if picture.also:
        yield f"<p>also: {escape('; '.join(picture.also))}</p>"
    if picture.command:
        yield f"<p>replay: <code>{escape(picture.command)}</code></p>"
    yield f'<p class="faint">digest <code>{picture.digest}</code></p>\n</body>\n</html>'


def _row(line: Line, picture: Picture) -> str:
    cells = "".join(_cell(cell, who) for cell, who in zip(line.cells, picture.columns, strict=True))
    bad = ' class="bad"' if line.violates else ""
    return f"<tr{bad}><td><time>{line.time / 1e6:.3f}</time></td>{cells}</tr>"


def _cell(cell: Cell, who: str) -> str:
    names = ["said"] if cell.text else []
    names += ["held", cell.held.replace(" ", "-")] if cell.held else []
    attributes = f' class="{" ".join(names)}"' if names else ""
    attributes += f' data-who="{escape(who)}"' if cell.text else ""
    source = f" <small>{escape(sources_told(cell.sources))}</small>" if cell.sources else ""
    return f"<td{attributes}>{escape(cell.text)}{source}</td>"
