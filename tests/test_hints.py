"""What is answered to those who mean one thing and write another: the kinds of slips, each with what was meant."""

import os

import pytest
from click.testing import CliRunner

import cosim
from cosim.cli import main
from cosim.config.problems import TopologyError
from cosim.sw.driver.candidates import defined


def said(**changes) -> str:
    with pytest.raises(TopologyError) as caught:
        cosim.load("quickstart", **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        # a level is missing
        ("iommu0.walkers=8", "iommu0.geometry.walkers"),
        ("iommu*.walkers=8", "iommu*.geometry.walkers"),
        ("parts.iommu0.walkers=8", "iommu0.geometry.walkers"),
        ("gpu0.size=64 B", "gpu0.traffic.size"),
        ("iommu0.iotlb_entris=3", "iommu0.geometry.iotlb_entries"),
        # a level too many, or another
        ("iommu0.geometry.iommu0.walkers=8", "iommu0.geometry.walkers"),
        ("iommu0.timing.walkers=8", "iommu0.geometry.walkers"),
        ("iommu0.geometry.sv39=false", "iommu0.capabilities.sv39"),
        # the part or the section is missing, or another
        ("walkers=8", "iommu0.geometry.walkers"),
        ("geometry.walkers=8", "iommu0.geometry.walkers"),
        ("cpu0.walkers=8", "iommu0.geometry.walkers"),
        ("until=3 ms", "run.until"),
        ("seed=3", "run.seed"),
        ("attach=context-first", "driver.attach"),
        ("variant=v2", "driver.variant"),
        # singular, plural, misspelt
        ("thread.0.pages=3", "threads"),
        ("domain.a.devices=gpu0", "domains"),
        ("iommu.geometry.walkers=8", "iommu0"),
        ("iomu0.geometry.walkers=8", "iommu0"),
        ("iommu0.geometry.walker=8", "walkers"),
        ("run.executr=plain", "executor"),
        ("driver.atach=v2", "attach"),
        # an entry of a list by its name
        ("threads.map-unmap.pages=3", "threads.1.pages"),
    ],
)
def test_a_path_that_leads_nowhere_is_answered_with_the_one_that_was_meant(written, meant):
    assert said(sets=[written]).endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize("written", ["iommu0.zzz=3", "zzz=3", "iommu0.size=3 B"])
def test_where_nothing_is_near_or_too_much_all_names_are_listed(written):
    assert "; there are: " in said(sets=[written])


OWN = "a driver of your own is FILE.py:NAME"


@pytest.mark.parametrize(
    ("driver", "answer"),
    [
        ("mergd", "did you mean merged?"),
        ("context-first", "it is a policy of attach: -s driver.attach=context-first"),
        (
            "no-dma-wmb",
            "it is a policy of attach and queue: -s driver.attach=no-dma-wmb or -s driver.queue=no-dma-wmb",
        ),
        ("contxt-first", "did you mean -s driver.attach=context-first?"),
        ("attach=context-first", "that is no driver, but a cell of one: -s driver.attach=context-first"),
        ("capable", "one policy is chosen with -s driver.capable=POLICY, of none, deferred-flush, coherent+deferred"),
        ("no.py", f"no.py in {os.getcwd()}, nor beside a topology file that names it; {OWN}"),
        ("no.py:Mine", f"there is no file no.py in {os.getcwd()}, nor beside a topology file that names it"),
        ("arch/iommu.o", "objects that a kernel's tree has compiled are object:arch/iommu.o"),
    ],
)
def test_a_driver_that_is_not_known_is_answered_with_what_was_meant(driver, answer):
    text = said(driver=driver)
    assert text.startswith(f"--driver {driver}: driver.variant: ")
    assert text.endswith(answer)


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("attach=per-device", "driver.attach: there is no 'per-device'; it is a policy of invalidate: "),
        ("attach=contxt-first", "driver.attach: there is no 'contxt-first'; did you mean context-first?"),
        ("context-first=1", "driver.context-first: 'context-first' is not an axis; it is a policy of attach: "),
    ],
)
def test_a_policy_of_another_axis_is_answered_with_its_own(cell, answer):
    assert said(sets=[f"driver.{cell}"]).startswith(f"-s driver.{cell}: {answer}")


OWN = """
from cosim.sw.driver.policies.invalidate import PerIommu
from cosim.sw.driver.variants import Variant, load_variant
raise SystemExit("this file is not run to see what is in it")

class Hasty(PerIommu):
    pass

class _Hidden(PerIommu):
    pass

Mine = load_variant("merged")
"""


def test_a_drivers_file_alone_is_answered_with_what_it_defines_and_is_not_run(tmp_path):
    path = tmp_path / "my.py"
    path.write_text(OWN)
    assert defined(path) == ["Hasty", "Mine"]
    assert said(driver=str(path)).endswith(f"a driver is named FILE.py:NAME; it defines: {path}:Hasty, {path}:Mine")
    assert "does not load: SystemExit" in said(driver=f"{path}:Hasty")
    path.write_text(OWN.replace("raise", "#"))
    assert said(driver=f"{path}:Hast").endswith("defines no 'Hast'; did you mean Hasty?")


def test_a_domain_may_be_set_where_the_file_has_none():
    threads = {"threads": []}
    changed = cosim.load("quickstart", set={**threads, "domains.identity.devices": "disk0"})
    assert changed.domains["identity"].devices == "disk0"
    assert said(sets=["domains.identity=disk0"]).endswith("found disk0; write {devices: disk0}")
    assert "several are a list: [gpu0, disk0]" in said(sets=["domains.a.devices=gpu0, disk0"])


def test_a_misspelt_domain_is_not_taken_for_a_new_one():
    assert "unknown entry; did you mean shared?" in _said_of("shared_domain", "domains.shraed.devices=nic0")


def _said_of(topology: str, change: str) -> str:
    with pytest.raises(TopologyError) as caught:
        cosim.load(topology, sets=[change])
    return str(caught.value)


def test_a_value_set_through_a_glob_is_wrong_once():
    text = said(sets=["*.traffic.size=64"])
    assert text.count("has no unit") == 1
    assert "(likewise parts.disk0.traffic.size" in text


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["quickstart"], "did you mean cosim run quickstart?"),
        (["mine.yaml"], "did you mean cosim run mine.yaml?"),
        (["mine.yml"], "did you mean cosim run mine.yml?"),
        (["run", "quickstart.yaml"], "quickstart, without .yaml, comes with cosim"),
        (["run", "quikstart"], "did you mean quickstart?"),
        (["list", "driver"], "did you mean drivers?"),
    ],
)
def test_a_verb_that_was_left_out_or_a_name_that_is_not_one_is_answered(words, answer):
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert answer in found.output
