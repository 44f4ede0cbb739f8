"""Topologies are read by libyaml only where PyYAML's own parser tells the same."""

import random
from collections.abc import Callable, Iterator

import pytest
import yaml

from cosim.config import yaml_reader
from cosim.config.problems import TopologyError
from cosim.config.yaml_reader import _events, read
from cosim.system.load import shipped

CHARACTERS = "abc019 \n\n   -:#,.[]{}'\"()/=+;$^~<?*_&|>%@`!\\\té"
PIECES = (
    "- ",
    "{a: ",
    "[1, ",
    "]",
    "}",
    "# x",
    ": ",
    ":\n",
    "\n  ",
    "\n\n",
    "--- ",
    "...\n",
    "? ",
    "<<: ",
    "@a",
    "a: \t1",
)


def edited(rng: random.Random, text: str) -> str:
    """Some lines of a text, in which up to four characters or pieces have been put in, left out or replaced."""
    lines = text.split("\n")
    first = rng.randrange(len(lines))
    text = "\n".join(lines[first : first + rng.randint(1, 8)])
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(text) + 1)
        new = rng.choice((rng.choice(CHARACTERS), rng.choice(PIECES), ""))
        text = text[:at] + new + text[at + rng.randint(0, 2) :]
    return text


def told(text: str, parser: Callable[[str], Iterator[yaml.Event]], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(yaml_reader, "_events", parser)
    try:
        return repr(read(text, "edited.yaml"))
    except TopologyError as error:
        return str(error)


@pytest.mark.parametrize("count", [100, pytest.param(5_000, marks=pytest.mark.slow)])
def test_an_edited_topology_says_the_same_by_either_parser(count, monkeypatch):
    rng = random.Random(count)
    texts = [path.read_text(encoding="utf-8") for path in shipped().values() if path.stat().st_size < 4_000]
    for _ in range(count):
        text = edited(rng, rng.choice(texts))
        own = told(text, lambda text: iter(yaml.parse(text, Loader=yaml.BaseLoader)), monkeypatch)
        assert told(text, _events, monkeypatch) == own, text


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML has no libyaml here")
def test_most_topologies_are_read_by_libyaml(monkeypatch):
    loaders: list[object] = []
    monkeypatch.setattr(yaml_reader.yaml, "parse", lambda text, Loader: loaders.append(Loader) or [])  # noqa: N803
    for path in shipped().values():
        list(_events(path.read_text(encoding="utf-8")))
    assert loaders.count(yaml.CBaseLoader) > 0.8 * len(loaders)
