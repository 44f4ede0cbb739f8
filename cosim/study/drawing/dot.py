"""A drawing as text for graphviz: ``cosim show quickstart --dot | dot -Tsvg``."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.study.drawing.nodes import Drawing, Node


def dot(drawing: Drawing) -> str:
    """A graph in graphviz's language; what is alike is one node."""
    return "\n".join(_lines(drawing)) + "\n"


def _lines(drawing: Drawing) -> Iterator[str]:
    yield f"graph {_quoted(drawing.title)} {{"
    yield f"  label={_quoted(f'{drawing.title}, driver {drawing.driver}')}; labelloc=t; fontname=sans;"
    yield "  node [shape=box, style=rounded, fontname=sans, fontsize=11]; edge [color=gray40];"
    yield '  bus [label="bus", shape=box, style=filled, fillcolor=gray90, width=4, height=0.2];'
    for node in drawing.cpus:
        yield f"  {_node(node)}"
        yield f"  {_quoted(node.name)} -- bus;"
    for node in drawing.memories:
        yield f"  {_node(node)}"
        yield f"  bus -- {_quoted(node.name)};"
    for number, group in enumerate(drawing.groups):
        if group.iommu is None:
            for device in group.devices:
                yield f"  {_node(device)}"
                yield f"  bus -- {_quoted(device.name)};"
            continue
        yield f"  subgraph cluster_{number} {{"
        yield f"    label={_quoted(f'behind {group.iommu.name}')}; style=rounded; color=gray70; fontname=sans;"
        yield f"    {_node(group.iommu)}"
        for device in group.devices:
            yield f"    {_node(device)}"
            yield f"    {_quoted(group.iommu.name)} -- {_quoted(device.name)};"
        yield "  }"
        yield f"  bus -- {_quoted(group.iommu.name)};"
    yield "}"


def _node(node: Node) -> str:
    title = node.name if node.count == 1 else f"{node.name} ({node.count})"
    domain = [f"domain {node.domain}"] if node.domain else []
    wrong = [f"defect {name}" for name in node.wrong]
    label = "\\n".join(map(_escaped, (title, *node.lines, *domain, *wrong)))
    style = ', peripheries=2, style=""' if node.count > 1 else ", color=red" if node.wrong else ""
    return f'{_quoted(node.name)} [label="{label}"{style}];'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
