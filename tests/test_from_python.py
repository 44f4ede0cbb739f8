"""What the package gives to a program: its names, a trace of a run, and errors that name the nearest right answer."""

import json
import shutil
from pathlib import Path

import pytest

import cosim
from cosim.study.run.model import NOT_OF_THE_MODEL, version_of
from cosim.sw.driver.imported import PACKAGE

TINY = Path(__file__).with_name("tiny.yaml")


def test_every_public_name_is_there():
    for name in cosim.__all__:
        assert getattr(cosim, name) is not None
    assert issubclass(cosim.TopologyError, Exception)
    with pytest.raises(AttributeError, match=r"module 'cosim' has no attribute 'reslt'; did you mean Result\?"):
        _ = cosim.reslt


def test_a_run_may_leave_traces(tmp_path):
    result = cosim.run(TINY, until="10 us", trace=tmp_path / "trace.jsonl")
    assert isinstance(result, cosim.Result)
    assert all(map(json.loads, (tmp_path / "trace.jsonl").read_text().splitlines()))
    cosim.run(TINY, until="10 us", trace=[str(tmp_path / "a.jsonl"), str(tmp_path / "a.dmesg")])
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "trace.jsonl").read_text()
    assert (tmp_path / "a.dmesg").exists()
    with pytest.raises(cosim.TopologyError, match=r"the suffix names the format of a trace; there are: .jsonl"):
        cosim.run(TINY, trace="trace.foo")


def test_an_argument_or_a_path_that_does_not_exist_is_answered_with_the_nearest():
    with pytest.raises(TypeError, match=r"^run\(\) has no argument 'sed'; did you mean seed\?$"):
        cosim.run(TINY, sed=3)
    with pytest.raises(TypeError, match=r"^load\(\) has no argument 'overlay'; did you mean overlays\?$"):
        cosim.load(TINY, overlay=[])
    with pytest.raises(cosim.TopologyError, match=r"did you mean iommu0.geometry.walkers\?$"):
        cosim.load(TINY, set={"iommu0.walkers": 8})


def test_what_is_no_topology_is_told_so():
    said = r" is no topology; write a file, a name such as 'quickstart', or what cosim.load\(\) gives$"
    for function in (cosim.load, cosim.run, cosim.explore):
        with pytest.raises(TypeError, match=rf"^{function.__name__}\(\): dict{said}"):
            function({"parts": {}})
    with pytest.raises(TypeError, match=rf"^explore\(\): int{said}"):
        cosim.explore(TINY, 3)
    with pytest.raises(TypeError, match=r"^explore\(\) jobs: -1 is no number of processes; there is 1 at least$"):
        cosim.explore(TINY, jobs=-1)


def test_changes_are_a_mapping_and_the_slowest_are_counted():
    with pytest.raises(TypeError, match=r"^run\(\) set: a list maps no paths to values; write \{'iommu0"):
        cosim.run(TINY, set=["seed=3"])
    with pytest.raises(TypeError, match=r"^sweep\(\) set: a list maps no paths"):
        cosim.sweep(TINY, set=["seed=3"])
    with pytest.raises(ValueError, match=r"^run\(\) slowest: -1 is less than 0"):
        cosim.run(TINY, slowest=-1)


def test_a_result_names_the_version_of_the_model():
    result = cosim.run(TINY, until="10 us")
    assert result.model == result.as_json()["model"] == cosim.model_version
    assert len(result.model) == 16


def test_the_version_of_the_model_changes_with_the_model_and_with_nothing_else(tmp_path):
    package = tmp_path / "cosim"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    assert version_of(package) == cosim.model_version
    for name in NOT_OF_THE_MODEL:
        path = package / name
        assert path.exists(), name
        target = path if path.is_file() else next(path.rglob("*.py"))
        target.write_text("changed = True\n")
    assert version_of(package) == cosim.model_version
    agenda = package / "sim" / "agenda.py"
    agenda.write_bytes(agenda.read_bytes().replace(b"\n", b"\r\n"))
    assert version_of(package) == cosim.model_version, "a checkout with other ends of lines is the same model"
    agenda.write_text(agenda.read_text() + "# a comment\n")
    changed = version_of(package)
    assert changed != cosim.model_version
    agenda.rename(package / "sim" / "agenda2.py")
    assert version_of(package) not in (changed, cosim.model_version)


@pytest.mark.slow
def test_every_layer_that_a_result_depends_on_is_part_of_its_version(tmp_path):
    package = tmp_path / "cosim"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for layer in ("spec", "units", "events", "sim", "hw", "sw", "oracles", "config", "system", "study/run"):
        before = version_of(package)
        (package / layer / "new.py").write_text("")
        assert version_of(package) != before, layer


def test_a_text_by_itself_is_one_of_several_and_not_its_letters():
    assert cosim.load(TINY, sets="nic0.traffic.size=128 B").parts["nic0"].traffic.size == 128
    with pytest.raises(cosim.TopologyError, match=r"^over\.yaml: no such file"):
        cosim.run(TINY, overlays="over.yaml")
    with pytest.raises(cosim.TopologyError, match=r"^--trace-part iomu0: "):
        cosim.run(TINY, trace="never.jsonl", trace_parts="iomu0")
