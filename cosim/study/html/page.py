"""What every page has: its frame, its colours and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fdfdfb; --faint: #616975; --line: #d9dce1; --box: #f3f4f2;
  --bad: #b3261e; --bad-paper: #fdeceb; --good: #1f7a3d; --mark: #3a66c4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #16181c; --faint: #9aa1ac; --line: #33373f;
  --box: #1e2127; --bad: #ff8a80; --bad-paper: #351c1b; --good: #7fd69b; --mark: #85a8f2; } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem; max-width: 72rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
h3 { font-size: .95rem; margin: 1rem 0 .3rem } p { margin: .4rem 0 } .faint { color: var(--faint) }
code, pre, .n { font-family: ui-monospace, monospace; font-size: .85em } code { overflow-wrap: anywhere }
pre { background: var(--box); padding: .75rem; overflow-x: auto; border-radius: 6px }
.wide { overflow-x: auto } .lead { font-size: 1.1rem }
.verdict { border-left: 4px solid var(--good); padding: .4rem .75rem; background: var(--box); margin: .8rem 0 }
.verdict.bad { border-color: var(--bad); background: var(--bad-paper) }
table { border-collapse: collapse; font-size: .9rem } th { text-align: left; font-weight: 600 }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
details { margin: .5rem 0 } summary { cursor: pointer }
.bar { display: flex; height: 1.1rem; border-radius: 3px; overflow: hidden; background: var(--box) }
.bar i { display: block }
.bars { display: grid; grid-template-columns: minmax(9rem, max-content) 5.5rem 1fr; gap: .3rem .8rem;
  align-items: center }
.bars .n { text-align: right } .bars .who { overflow-wrap: anywhere }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .6rem 0; font-size: .85rem }
.key i, .dot { display: inline-block; width: .75rem; height: .75rem; border-radius: 2px; margin-right: .35rem }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem } figure { margin: 0 }
figcaption { font-size: .85rem; overflow-wrap: anywhere } svg.c { width: 100%; height: auto; display: block }
svg.c text { fill: var(--faint); font: 11px system-ui, sans-serif } svg.c .axis { stroke: var(--line) }
svg.c .mark { stroke: var(--mark) } svg.c .column { fill: var(--mark); opacity: .75 }
svg.c .mark99 { stroke: var(--bad) }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem 2rem }
.slow { display: flex; justify-content: space-between; gap: 1rem; margin-top: .7rem }
.line { position: relative; height: 1.1rem; background: var(--box); border-radius: 3px; overflow: hidden }
.line i { position: absolute; top: 0; bottom: 0; min-width: 1px }
ol.steps { margin: .3rem 0 .8rem; padding-left: 1.3rem }
ol.steps li { margin: .1rem 0; font-size: .9rem }
@media (max-width: 40rem) { body { padding: .8rem } .bars { grid-template-columns: 1fr auto } .bars .bar
  { grid-column: 1 / -1 } }
@media print { details { display: block } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole page around what `body` yields."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(body) + "\n</body>\n</html>\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 1) -> str:
    """A table of texts; from the column `numbers` on they are numbers."""
    kinds = ["" if index < numbers else ' class="n"' for index in range(len(heads))]
    first = "".join(f"<th{kind}>{escape(head)}</th>" for kind, head in zip(kinds, heads, strict=True))
    lines = [
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in rows
    ]
    return f'<div class="wide"><table><thead><tr>{first}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def folded(summary: str, body: str, *, opened: bool = False) -> str:
    """What is shown when it is asked for."""
    return f"<details{' open' if opened else ''}><summary>{escape(summary)}</summary>{body}</details>"
