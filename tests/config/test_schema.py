"""The JSON schema, held by an independent validator: it accepts what cosim accepts, and refuses what it can see."""

import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cosim.config.source import Source
from cosim.system.load import as_data, json_schema, load, shipped
from tests.topologies.running import OFTEN

VALIDATOR = Draft202012Validator(json_schema())


def data_of(name: str) -> dict[str, Any]:
    """A shipped topology as it is written."""
    return Source.load(shipped()[name]).data


def test_it_is_a_schema():
    Draft202012Validator.check_schema(VALIDATOR.schema)


@pytest.mark.parametrize("name", OFTEN)
@pytest.mark.parametrize("everything", [False, True])
def test_it_accepts_every_shipped_topology_as_it_runs(name, everything):
    VALIDATOR.validate(as_data(load(name), everything=everything))


@pytest.mark.parametrize("name", OFTEN)
def test_it_accepts_every_shipped_topology_as_it_is_written(name):
    VALIDATOR.validate(data_of(name))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("parts.iommu0.geometry.walkers", 0),
        ("parts.iommu0.geometry.walker", 4),
        ("parts.gpu0.traffic.window", 512),
        ("parts.gpu0.traffic.pattern", "circular"),
        ("parts.cpu.count", 0),
        ("parts.cpu.kind", "gpu"),
        ("run.until", "250 MiB"),
        ("driver", 6.13),
        ("thread", []),
    ],
)
def test_it_refuses_what_is_misspelled_or_of_the_wrong_kind(path, value):
    data = copy.deepcopy(data_of("quickstart"))
    *holders, last = path.split(".")
    inner = data
    for key in holders:
        inner = inner[key]
    inner[last] = value
    assert not VALIDATOR.is_valid(data)
