"""The topology reference, written from the models that are the schema of a topology: `python docs/generate.py`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cosim.hw.iommu.options import UNIMPLEMENTED
from cosim.study.report.catalogue import CATALOGUE
from cosim.system.load import json_schema

PAGE = "topology-reference.md"

Schema = Mapping[str, Any]

OPENING = """\
# Topology reference

<!-- Written by docs/generate.py from the models; `make docs` renews it. Change the docstrings there, not this page. -->

A topology is one YAML file. The sections below are its top level; everything has a default but `parts`, and what is
not named here is an error. `cosim show NAME --all` prints a topology with every default written out, `cosim schema`
prints all of this as a JSON schema for editors, `cosim check FILE` says everything that is wrong with a file at once.

* **Quantities** are a number and a unit: `80 ns`, `1.5 us`, `256 MiB`, `1500 B`, `16 GB/s`, `100 Gb/s`. Times are
  exact picoseconds, sizes exact bytes; what does not come out exact is an error. A bare `0` needs no unit. Addresses
  are integers: `0x8000_0000`.
* **Names**: a part's key is its path. `count: 4` beside `kind` makes `nic0` to `nic3` of `nic`. Where a field takes
  names, globs work: `devices: nic*`.
* **Files** that a topology names, such as recordings, drivers of your own and objects, count from the current folder;
  what that does not have is looked for beside the topology file, or the overlay, that names it. What `-s` names counts
  from the current folder alone.
* **Changing a value**: `-s iommu0.geometry.walkers=8` (a part's path needs no `parts.`), with globs
  `-s 'nic*.traffic.size=256 B'`; what matches nothing is an error. `-f OVERLAY.yaml` lays another file over it.
"""

SOURCES_INTRO = """\
## Where the default numbers come from

No result should rest on one of these alone: the ranges are there to be swept. *RTL* is an open RISC-V IOMMU in RTL
(zero-day-labs/riscv-iommu, commit 18ad30a7), simulated cycle by cycle and taken here at 1 GHz.
"""

SOURCES: Mapping[str, str] = {
    "memory.latency": "assumption; 60 to 150 ns for DRAM as an IOMMU sees it, 25 to 40 ns for a last-level cache",
    "cpu.timing.drain": "assumption; 5 to 200 ns, with a tail to 1 us, where nothing drains the buffer",
    "cpu.timing.block": "assumption; 300 to 600 ns for a zeroed page, its allocation included",
    "cpu.timing.atomic": "assumption; 20 to 100 ns on a line that is shared",
    "cpu.timing.fence": "assumption; 10 to 40 ns",
    "cpu.timing.mmio_read": "assumption; 50 to 400 ns on the SoC, 0.7 to 5.5 us through PCIe",
    "cpu.timing.mmio_write": "assumption; 20 to 50 ns of the CPU, 50 to 300 ns between uncached writes are reported",
    "cpu.timing.mmio_arrival": "assumption; 100 to 300 ns",
    "cpu.timing.interrupt": "assumption; 1 to 3 us to the hard handler",
    "cpu.timing.switch": "assumption; 1 to 2 us",
    "iommu.timing.lookup": "RTL: 2 cycles for a hit",
    "iommu.timing.lookup_interval": "choice: pipelined; the RTL takes a hit every 3 cycles",
    "iommu.timing.walk_start": "RTL: 1 cycle to start a walker",
    "iommu.timing.walk_step": "RTL: 1 cycle for each read beyond the memory's own latency",
    "iommu.timing.command_fetch": "assumption; 100 to 200 ns with the read of the command",
    "iommu.timing.invalidate_entry": "assumption; 20 to 100 ns",
    "iommu.timing.invalidate_all": "assumption; 100 ns to 2 us, with the size of the cache",
    "iommu.timing.fence": "assumption; 0.3 to 2 us as its sender sees it, which is mostly registers and memory",
    "iommu.geometry.iotlb_entries": "choice; 16 in the RTL, about 118 and 126 on two Xeons (pcie-bench raw data)",
    "iommu.geometry.nonleaf_entries": "choice; the RTL has none",
    "iommu.geometry.command_burst": "choice; the RTL reads one at a time",
    "dma.link": "assumption for a device on the SoC; 450 ns one way is used for PCIe (HyperSIO)",
    "dma.header": "a PCIe TLP has 12 to 28 bytes besides its data",
    "costs.csr_poll": "Linux polls these registers every 10 us",
    "kernel.gp_stall": "Linux reports after 21 s",
    "kernel.kfree_rcu_delay": "Linux: 20 ms, 5 s in later versions",
    "kernel.hz": "Linux is configured for 100, 250, 300 or 1000",
}
"""Where a default comes from: a path of the reference, then the source; a path that does not exist is an error."""

UNITS = (("ps|ns", "time"), ("B/s", "rate"), ("B|kB", "size"))
"""How a quantity's pattern in the JSON schema tells what it is."""


def reference() -> str:
    """The whole page."""
    schema = json_schema()
    definitions = schema["$defs"]
    sections, seen = [OPENING], set[str]()
    sections += _tables("Top level", schema, definitions, "", 2, seen)
    for heading, kind, field, root in (("Parts", "parts", "kind", ""), ("Threads", "threads", "does", "threads")):
        sections.append(f"## {heading}\n\n{_about(schema['properties'][kind])}\n")
        members = dict(_members(schema["properties"][kind], definitions, field))
        shared = _shared(members.values())
        if shared:
            every = {"properties": shared, "required": list(shared)[:1], "description": "Whatever it does:"}
            sections += _tables("Every thread", every, definitions, root, 3, seen)
        for tag, model in members.items():
            model = {**model, "properties": {k: v for k, v in model["properties"].items() if shared.get(k) != v}}
            path = f"{root}.{tag}" if root else tag
            sections += _tables(f"`{field}: {tag}`", model, definitions, path, 3, seen)
    for name in ("domains", "driver", "stalls", "kernel", "iova", "costs", "run", "expect", "explore"):
        for model in _models(schema["properties"][name], definitions):
            sections += _tables(f"`{name}`", model, definitions, name, 2, seen)
            for inner in _models(model["properties"], definitions):
                sections += _tables(f"`{name}`: a {inner['title'].lower()}", inner, definitions, name, 3, seen)
        if name == "driver":
            sections += [_listed("Variants", CATALOGUE["drivers"]()), _policies(CATALOGUE["policies"]())]
            sections.append(_steps(CATALOGUE["steps"]()))
    sections.append(_listed("Traffic patterns", CATALOGUE["patterns"](), level=2))
    sections.append(_listed("Latency parts", CATALOGUE["latency-parts"](), level=2))
    sections.append(_sources(seen))
    return "\n".join(sections)


def _tables(title: str, model: Schema, definitions: Schema, path: str, level: int, seen: set[str]) -> Iterator[str]:
    """A model as a table, then its groups, each as one of its own."""
    groups: list[tuple[str, Schema]] = []
    rows, absent = [], []
    for name, field in model.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        seen.add(where)
        group = definitions[field["$ref"].rpartition("/")[2]] if "$ref" in field else None
        if group and path:
            groups.append((name, group))
            rows.append(f"| `{name}` | | group | {_text(_about(field) or _about(group))} |")
        elif name in UNIMPLEMENTED and path.endswith(".capabilities"):
            absent.append(f"`{name}`")
        elif name not in ("kind", "does"):
            needed = name in model.get("required", ())
            rows.append(f"| `{name}` | {_default(field, needed)} | {_value(field)} | {_text(_about(field))} |")
    yield f"{'#' * level} {title}\n\n{_about(model)}\n"
    if rows:
        yield "| field | default | value | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    if absent:
        yield f"Not implemented, so they read as absent, and asking for one is an error: {', '.join(absent)}.\n"
    for name, group in groups:
        label = f"{title.strip('`')}: {name}" if level < 4 else f"{title}.{name}"
        yield from _tables(f"`{label.replace('`', '')}`", group, definitions, f"{path}.{name}", 4, seen)


def _shared(models: Iterable[Schema]) -> dict[str, Any]:
    """The first fields of all `models`, as far as most of them have the same there."""
    columns = zip(*(list(model["properties"].items()) for model in models), strict=False)
    alike = {}
    for column in columns:
        (name, field), often = Counter((name, json.dumps(field)) for name, field in column).most_common(1)[0]
        if 2 * often <= len(column):
            break
        alike[name] = json.loads(field)
    return alike


def _members(field: Schema, definitions: Schema, tag: str) -> Iterator[tuple[str, Schema]]:
    """The members of a union of models, each with the value of its `tag`."""
    for model in _models(field, definitions):
        if tag in model.get("properties", {}):
            yield model["properties"][tag]["const"], model


def _models(field: Any, definitions: Schema) -> list[Schema]:
    """Every model that a schema refers to, each once, in order."""
    found: dict[str, Schema] = {}
    for name in re.findall(r"'#/\$defs/(\w+)'", repr({key: value for key, value in field.items() if key != "default"})):
        found.setdefault(name, definitions[name])
    return list(found.values())


def _about(schema: Schema) -> str:
    return " ".join(str(schema.get("description", "")).split())


def _text(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: Schema, needed: bool) -> str:
    default = field.get("default")
    if needed:
        return "**needed**"
    if isinstance(default, dict) and default:
        return "its own"
    if default is None or default in ({}, [], ""):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str) and re.fullmatch(r"0 \w+", default):
        return "`0`"
    return f"`{', '.join(map(str, default)) if isinstance(default, list) else default}`"


def _value(field: Schema) -> str:
    """What may stand there, in a few words."""
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if "const" in field:
        return "" if field["const"] == 0 else f"`{field['const']}`"
    if any("[xX]" in one.get("pattern", "") for one in field.get("anyOf", ())):
        return "address"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(filter(None, map(_value, field["anyOf"]))))
    if "pattern" in field:
        return next(what for unit, what in UNITS if re.search(rf"\(?{re.escape(unit)}", field["pattern"]))
    kind = field.get("type", "")
    if kind == "integer":
        return f"integer{_range(field)}"
    if kind == "array":
        item = _value(field["items"]) if isinstance(field.get("items"), dict) else ""
        return f"list of {item}" if item else "list"
    if kind == "object":
        inside = field.get("additionalProperties")
        return f"name: {_value(inside)}" if isinstance(inside, dict) and _value(inside) else "mapping"
    if "$ref" in field or "oneOf" in field:
        return "mapping"
    return {"number": f"number{_range(field)}", "boolean": "`true`, `false`", "string": "text", "null": ""}.get(
        kind, kind
    )


def _range(field: Schema) -> str:
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field["exclusiveMaximum"] - 1 if "exclusiveMaximum" in field else None)
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", at least {low}" if low is not None else f", at most {high}" if high is not None else ""


def _listed(title: str, rows: Sequence[tuple[str, str]], level: int = 3) -> str:
    lines = "\n".join(f"| `{name}` | {_text(text)} |" for name, text in rows)
    return f"{'#' * level} {title}\n\n| name | what it is |\n|---|---|\n{lines}\n"


def _policies(rows: Sequence[tuple[str, str]]) -> str:
    lines = [
        "### Policies\n\nA cell of the table of variants can be replaced by itself: `driver: {variant: merged, attach: "
        "context-first}`, or\n`-s driver.attach=context-first`. A policy that has numbers takes them as a mapping:\n"
        "`driver: {variant: merged, invalidate: {policy: short-fence, fence_ps: 10 ms}}`. Where the name of a policy "
        "stands, one of\nyour own may stand as `FILE.py:NAME`: `-s driver.invalidate=my_driver.py:Hasty`. It is held "
        "against the contract of\nits axis, in `cosim/sw/driver/axes.py`, when it is loaded. "
        "`--driver my_driver.py:Hasty` means the same.\n\n"
        "| axis | policy | what it is |\n|---|---|---|"
    ]
    return "\n".join([*lines, *_of_axes(rows)]) + "\n"


def _steps(rows: Sequence[tuple[str, str]]) -> str:
    lines = [
        "### Steps\n\nWhat a policy does for the sake of order, or of another thread, can be taken out alone:\n"
        "`-s driver.attach.without=barrier`, or `driver: {variant: merged, attach: {without: [barrier, written]}}`.\n"
        "The policies that have a step are named behind it.\n\n"
        "| axis | step | what it is |\n|---|---|---|"
    ]
    return "\n".join([*lines, *_of_axes(rows)]) + "\n"


def _of_axes(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"| `{axis}` | `{name}` | {_text(text)} |" for axis, name, text in ((*n.split(": "), t) for n, t in rows)]


def _sources(seen: set[str]) -> str:
    if lost := SOURCES.keys() - seen:
        raise KeyError(f"docs/reference.py names the source of what does not exist: {', '.join(sorted(lost))}")
    lines = "\n".join(f"| `{path}` | {_text(source)} |" for path, source in SOURCES.items())
    return f"{SOURCES_INTRO}\n| field | source |\n|---|---|\n{lines}\n"
