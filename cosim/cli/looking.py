"""Verbs that look at topologies, and at what there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cosim.cli.layout import Layout
from cosim.cli.options import columns, guarded, name_of, topology_options

if TYPE_CHECKING:
    from cosim.system.topology import Topology


@click.command(short_help="Say whether a topology, or a study, is valid.")
@topology_options
@guarded
def check(topology: str, changes: dict[str, Any]) -> int:
    """Say whether TOPOLOGY, which may be a study, is valid, and if not, everything that is wrong with it."""
    from cosim.study.sweep.study import is_study, read
    from cosim.system.load import load

    if is_study(topology):
        if any(changes.values()):
            raise click.UsageError(f"{topology} is a study, which is checked as it is; cosim sweep can change it")
        read(topology).checked()
    else:
        load(topology, **changes)
    click.echo(f"{topology}: ok")
    return 0


@click.command(short_help="Print a topology as it would run.")
@topology_options
@click.option("--all", "everything", is_flag=True, help="With every default written out.")
@click.option("--svg", "as_svg", is_flag=True, help="Draw it, as SVG.")
@click.option("--dot", "as_dot", is_flag=True, help="Draw it, as text for graphviz.")
@guarded
def show(topology: str, changes: dict[str, Any], everything: bool, as_svg: bool, as_dot: bool) -> int:
    """Print TOPOLOGY as it would run: expanded, with overlays and overrides; the output is a topology again."""
    from cosim.system.load import load, resolved

    if everything + as_svg + as_dot > 1:
        raise click.UsageError("--all, --svg and --dot each print something else; name one of them")
    loaded = load(topology, **changes)
    if as_svg or as_dot:
        click.echo(_drawn(loaded, name_of(topology), as_svg=as_svg), nl=False)
    else:
        click.echo(resolved(loaded, everything=everything), nl=False)
    return 0


def _drawn(topology: Topology, name: str, *, as_svg: bool) -> str:
    from cosim.study.drawing.dot import dot
    from cosim.study.drawing.nodes import drawing_of
    from cosim.study.drawing.svg import svg

    drawing = drawing_of(topology, name)
    return svg(drawing) if as_svg else dot(drawing)


@click.command("list", short_help="List topologies, drivers, policies and the like.")
@click.argument("what", required=False, default="topologies", metavar="[WHAT]")
@guarded
def list_(what: str) -> int:
    """List what there is of WHAT.

    \b
    topologies     those that come with cosim (what is listed without WHAT)
    drivers        variants of the driver, and in which policies they differ
    policies       what a driver can be made of
    steps          what can be taken out of a policy, each by itself
    threads        what a thread may do
    patterns       where a DMA master's requests go
    oracles        what is judged in every run
    parts          kinds of hardware
    latency-parts  what latencies are split into, and what lowers each
    scalars        what a result counts, with units
    events         what the lines of a trace are; their times are in picoseconds
    """
    from cosim.study.report.catalogue import CATALOGUE
    from cosim.units.nearest import nearest

    if what not in CATALOGUE:
        raise click.UsageError(f"there is no list of {what}; {nearest(what, CATALOGUE)}")
    rows = [(name, text or "-") for name, text in CATALOGUE[what]()]
    terminal = Layout(width=columns())
    terminal.write_dl(rows, col_max=max((len(name) for name, _ in rows), default=0))
    click.echo(terminal.getvalue(), nl=False)
    return 0


@click.command(short_help="Print the JSON schema of topologies.")
@guarded
def schema() -> int:
    """Print the JSON schema of topologies, for editors that complete and check."""
    from cosim.system.load import json_schema

    click.echo(json.dumps(json_schema(), indent=1))
    return 0
