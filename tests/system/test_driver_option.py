"""What `--driver` changes of a topology's driver: all of it, or the one policy that it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cosim
from cosim.cli import main
from cosim.config.problems import TopologyError
from cosim.study.explore.request import Request
from cosim.study.explore.subjects import tasks

TINY = Path(__file__).parents[1] / "tiny.yaml"
OF_ITS_OWN = {"driver.variant": "current", "driver.attach": "context-first"}

DRIVER = """
from cosim.sw.driver.policies.invalidate import WithFreelist
from cosim.sw.driver.variants import load_variant

class Mine(WithFreelist):
    pass

ROW = load_variant("v2")
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "my_driver.py"
    path.write_text(DRIVER)
    return path


@pytest.fixture
def topology() -> cosim.Topology:
    return cosim.load(TINY, set=OF_ITS_OWN)


def test_a_single_policy_takes_its_place_in_the_driver_that_the_topology_names(topology, own: Path) -> None:
    mine = f"{own}:Mine"
    changed = cosim.load(topology, driver=mine)
    assert changed.driver.model_dump() == {"variant": "current", "attach": "context-first", "invalidate": mine}
    assert changed == cosim.load(topology, set={"driver.invalidate": mine})
    result = cosim.run(changed)
    assert result.driver == f"current attach=context-first invalidate={mine}"


def test_a_row_of_a_users_own_replaces_all_of_it(topology, own: Path) -> None:
    assert cosim.load(topology, driver=f"{own}:ROW").driver.model_dump() == {"variant": f"{own}:ROW"}


def test_a_variant_that_is_a_single_policy_is_named_with_the_row_that_it_stands_in(own: Path) -> None:
    mine = f"{own}:Mine"
    named = f"merged invalidate={mine}"
    assert cosim.run(TINY, set={"driver.variant": mine, "run.until": "1 us"}).driver == named
    (task,) = tasks(TINY, Request(), sets=[f"driver={mine}"])
    assert task.subject.driver_name == named


def test_what_is_wrong_with_the_policy_is_told_of_the_option(topology, own: Path) -> None:
    with pytest.raises(TopologyError, match=rf"--driver {own}:Mne: .*defines no 'Mne'; did you mean Mine\?"):
        cosim.load(topology, driver=f"{own}:Mne")


def test_two_drivers_side_by_side_differ_in_the_policy_alone(own: Path) -> None:
    """It stands in the other one, whatever that is; two of them stand in `merged`."""
    found = CliRunner().invoke(main, ["diff-driver", "v2", f"{own}:Mine", "--no-costs"])
    assert f"v2 and {own}:Mine differ in 1 of 10 cells" in " ".join(found.stdout.split())
