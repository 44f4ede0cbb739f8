"""What every topology that comes with cosim owes its reader."""

from __future__ import annotations

import pytest

import cosim
from cosim.study.report.catalogue import topologies
from cosim.system.load import resolved, shipped
from tests.topologies.latencies import scaled
from tests.topologies.running import NAMES, OFTEN, RUN, run


def test_the_topologies_that_are_promised_are_shipped() -> None:
    promised = {"quickstart", "shared_domain", "two_iommus", "concurrent_attach", "rcu", "iofence_timeout", "io_modes"}
    assert promised <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_topology_says_what_it_shows_in_one_short_sentence(name: str) -> None:
    sentence = dict(topologies())[name]
    assert shipped()[name].read_text(encoding="utf-8").startswith("# ")
    assert 20 < len(sentence) <= 80
    assert sentence[0].isupper()
    assert not sentence.endswith(".")


@pytest.mark.parametrize("name", OFTEN)
def test_a_topology_is_valid_and_printed_it_loads_back_to_itself(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    topology = cosim.load(name)
    again = tmp_path / f"{name}.yaml"
    again.write_text(resolved(topology), encoding="utf-8")
    assert cosim.load(again) == topology


def shows(name: str) -> str:
    """What an experiment says that its own driver shows without any schedule; nothing for all else."""
    topology = cosim.load(name)
    rows = topology.explore.defects if topology.explore else ()
    own = [row for row in rows if row.options == topology.driver and row.schedule == ()]
    return own[0].signature if own else ""


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_topology_runs_to_its_expectation_as_it_is_shipped(name: str) -> None:
    result = run(name)
    if signature := shows(name):
        assert [sign for sign in result.signs if sign.startswith(signature)], result.failures
        assert result.exit_code == 1
    else:
        assert result.outcome == "ok", result.failures
        assert result.exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUN if shipped()[name].parent.name != "defects"])
def test_no_latency_is_tuned_to_what_it_expects(name: str) -> None:
    """For topologies that show a defect, `test_defects.py` tries more of them."""
    signature = shows(name)
    for number in range(3):
        result = cosim.run(name, set=scaled(cosim.load(name), number))
        if signature:
            assert [sign for sign in result.signs if sign.startswith(signature)], number
        else:
            assert result.failures == (), number


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_parts_of_every_mean_latency_add_up_to_it(name: str) -> None:
    for call, latency in run(name).latencies.items():
        assert sum(latency.parts.values()) == latency.mean_ps, call


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_both_executors_give_the_same_run(name: str) -> None:
    plain = run(name, run__executor="plain")
    assert plain.digest == run(name).digest
    assert plain.latencies == run(name).latencies
