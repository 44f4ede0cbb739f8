"""Which numbers the runs of a topology can have: a misspelt metric is told before anything is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cosim
import cosim.sw
from cosim.config.problems import TopologyError
from cosim.config.source import Source
from cosim.study.results.numbers import numbers_of
from cosim.study.sweep.metrics import misspelt
from cosim.system.load import load
from cosim.system.number_names import CALLS, Names
from cosim.system.topology import Topology
from tests.study.sweep.test_command import SIZES, folder, sweep
from tests.study.sweep.test_command import cosim as command
from tests.system.test_scalars import EVERYTHING
from tests.topologies.running import RUN

__all__ = ["folder"]


def unknown(topology: Topology) -> list[str]:
    """The numbers of a run that could not be known beforehand."""
    possible = Names([topology])
    known = set(possible)
    return [name for name in numbers_of(cosim.run(topology)) if name not in known and not possible.is_open(name)]


def test_every_number_of_a_run_is_known_beforehand() -> None:
    assert unknown(load(Source.parse(EVERYTHING))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_every_number_of_what_is_shipped_is_known_beforehand(name: str) -> None:
    assert unknown(cosim.load(name)) == []


def test_every_call_that_is_measured_is_known() -> None:
    files = Path(cosim.sw.__path__[0]).rglob("*.py")
    found = {call for file in files for call in re.findall(r'\.measured\("(\w+)"\)', file.read_text(encoding="utf-8"))}
    assert set(CALLS) == found


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("nic0.raed.mean_ps", "no run has such a number; did you mean nic0.read.mean_ps?"),
        ("nic0.read.p99", "did you mean nic0.read.p99_ps?"),
        ("nic0.read.parts.wlak", "did you mean nic0.read.parts.walk?"),
        ("ncc0.read.mean_ps", "did you mean nic0.read.mean_ps?"),
        ("nic.latncy", "did you mean one of nic0? cosim list scalars has their names"),
        ("*.hit_rte", "no run has such a number; cosim list scalars has their names"),
        ("iommu0.iotlb.hitrate", "did you mean iommu0.iotlb.hit_rate?"),
        ("cpu0.receive-rign.unmap.mean_ps", "did you mean cpu0.receive-ring.unmap.mean_ps?"),
        ("driver.comands_sent", "did you mean driver.commands_sent?"),
    ],
)
def test_a_misspelt_metric_is_told_with_the_nearest_name(metric: str, said: str) -> None:
    (problem,) = misspelt([metric], [cosim.load("quickstart")], {})
    assert str(problem).startswith(f"-m {metric}: ")
    assert said in str(problem)


def test_what_some_run_could_have_is_not_called_misspelt() -> None:
    """Neither a number that only some points have, nor one that topologies say nothing of."""
    both = [cosim.load("quickstart"), cosim.load("quickstart", set={"parts.gpu0.count": 2})]
    metrics = [
        *("gpu01.read.mean_ps", "gpu00.read_gbps", "gpu0.write.max_ps", "nic0.exposed.mean_ps", "*.hit_rate", "nic0*"),
        *("kernel.pages.of mine", "cpu0.irq5-nic0.unmap.mean_ps", "*.walk", "n*read*", "nic0.write.parts.*", "events"),
    ]
    assert list(misspelt(metrics, both, {})) == []
    assert [str(each)[:8] for each in misspelt(["gpu01.reads"], both[:1], {})] == ["-m gpu01"]


def test_calls_of_a_driver_of_ones_own_are_not_known_beforehand(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("from cosim.sw.driver.policies.invalidate import PerIommu\n", encoding="utf-8")
    metric = "cpu0.receive-ring.of_mine.mean_ps"
    theirs, mine = cosim.load("quickstart"), cosim.load("quickstart", set={"driver.invalidate": f"{own}:PerIommu"})
    assert len(list(misspelt([metric], [theirs], {}))) == 1
    assert list(misspelt([metric], [theirs, mine], {})) == []
    assert len(list(misspelt(["nic0.raed.mean_ps"], [mine], {}))) == 1


def test_nothing_is_run_for_a_misspelt_metric_of_a_command_a_study_or_python(folder: Path) -> None:
    found = sweep(*SIZES, "-m", "dev0.read.meen_ps")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "-m dev0.read.meen_ps: no run has such a number; did you mean dev0.read.mean_ps?" in found.stderr
    study = folder / "study.yaml"
    study.write_text(
        "topology: tiny.yaml\naxes: {dev0.traffic.size: [64 B]}\nmetrics:\n  - dev0.reads\n  - dev0.raeds\n",
        encoding="utf-8",
    )
    for verb in ("sweep", "check"):
        found = command(verb, "study.yaml")
        assert found.exit_code == 2
        assert "study.yaml:5:5: dev0.raeds: no run has such a number; did you mean dev0.reads?" in found.output
    with pytest.raises(TopologyError, match=r"dev0\.raeds: no run has such a number"):
        cosim.sweep(folder / "tiny.yaml", {"dev0.traffic.size": ["64 B"]}, metrics=["dev0.raeds"])
    assert not list(folder.glob("*.sqlite"))
