"""A topology drawn: every part is there, in its place, and what is alike is one box."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

import cosim
from cosim.study.drawing.dot import dot
from cosim.study.drawing.layout import WIDTH, Box, lay_out
from cosim.study.drawing.nodes import Drawing, Node, drawing_of
from cosim.study.drawing.svg import svg
from tests.topologies.running import OFTEN

MANY = Path(__file__).parent / "many.yaml"


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    return drawing_of(cosim.load(MANY), "many")


def nodes(drawing: Drawing) -> dict[str, Node]:
    """All that is drawn, by its name."""
    groups = drawing.groups
    behind = [device for group in groups for device in group.devices]
    found = [*drawing.cpus, *drawing.memories, *(group.iommu for group in groups if group.iommu), *behind]
    return {node.name: node for node in found}


def test_every_part_is_drawn_and_many_that_are_alike_are_one(drawing: Drawing) -> None:
    found = nodes(drawing)
    assert sum(node.count for node in found.values()) == len(cosim.load(MANY).parts)
    assert {name for name, node in found.items() if node.count > 1} == {"cpu2..5", "crypto0..11"}
    assert found["cpu0"].lines == ("rvwmo", "map-unmap", "map-unmap2")
    assert found["gpu0"].lines == ("random, reads", "64 B each", "16 in flight")
    assert found["crypto0..11"].lines[0] == "sequential, 50 % reads"
    assert found["usb0"].lines == ("sends nothing",)
    assert found["iommu1"].wrong == ("stale_fill",)
    assert (found["gpu0"].domain, found["disk1"].domain, found["gpu1"].domain) == ("two", "one", "")


def test_what_differs_in_more_than_its_number_stays_apart() -> None:
    changed = cosim.load(MANY, set={"crypto3.traffic.size": "64 B"})
    found = nodes(drawing_of(changed, "many"))
    assert {"crypto3", "crypto0,1,2,4,5,6,7,8,9,10,11"} <= set(found)


def test_devices_stand_below_their_iommu_and_those_of_none_apart(drawing: Drawing) -> None:
    behind = {group.iommu and group.iommu.name: [node.name for node in group.devices] for group in drawing.groups}
    assert behind == {
        "iommu0": ["nic0", "gpu0", "gpu1", "disk0", "disk1"],
        "iommu1": ["crypto0..11", "usb0"],
        None: ["sata0"],
    }


@pytest.mark.parametrize("name", [str(MANY), *OFTEN])
def test_nothing_covers_anything_else_and_everything_is_on_the_page(name: str) -> None:
    layout = lay_out(drawing_of(cosim.load(name), name))

    def apart(one: Box, two: Box) -> bool:
        beside = one.x + WIDTH <= two.x or two.x + WIDTH <= one.x
        return beside or one.y + one.height <= two.y or two.y + two.height <= one.y

    assert all(apart(one, two) for one, two in combinations(layout.boxes, 2))
    for box in layout.boxes:
        assert box.x >= 0
        assert box.x + WIDTH <= layout.width
        assert box.y + box.height <= layout.height
    touched = {(x, y) for x1, y1, x2, y2 in layout.wires for x, y in ((x1, y1), (x2, y2))}
    for box in layout.boxes:
        assert (box.middle, box.y) in touched or (box.middle, box.y + box.height) in touched
    assert layout.width <= 1100


def test_the_picture_is_one_file_of_xml_that_names_everything(drawing: Drawing) -> None:
    text = svg(drawing)
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "href" not in text
    assert "url(" not in text
    said = " ".join(root.itertext())
    for name, node in nodes(drawing).items():
        assert name in said
        assert all(line in said for line in node.lines)
    assert "12 alike" in said
    assert "prefers-color-scheme: dark" in text


def test_names_cannot_break_the_picture() -> None:
    node = Node('a<b&"c"', "dma", ("<script>",))
    drawing = Drawing("x & <y>", "merged", (), (node,), (), ())
    ElementTree.fromstring(svg(drawing))
    assert "<script>" not in svg(drawing)
    assert '\\"c\\"' in dot(drawing)


def test_what_has_no_room_is_cut_and_whole_in_the_title() -> None:
    node = Node("n" * 60, "dma")
    root = ElementTree.fromstring(svg(Drawing("x", "merged", (), (node,), (), ())))
    texts = [each.text or "" for each in root.iter() if each.tag.endswith(("tspan", "title"))]
    assert "n" * 60 in texts
    assert any(re.fullmatch("n+…", text) for text in texts)


def test_the_graph_has_an_edge_for_each_connection(drawing: Drawing) -> None:
    text = dot(drawing)
    assert '"iommu1" -- "crypto0..11";' in text
    assert 'bus -- "sata0";' in text
    assert text.count(" -- ") == len(nodes(drawing))
    assert text.count("{") == text.count("}")
    if (program := shutil.which("dot")) is not None:
        ended = subprocess.run([program, "-Tplain"], input=text, capture_output=True, text=True, check=True)
        assert ended.stdout.count("\nnode ") == len(nodes(drawing)) + 1
