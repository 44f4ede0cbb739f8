"""What fails outside the modelled system: a user's own driver is told apart from cosim itself."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import cosim.system.plan
from cosim.cli import main
from cosim.study.run.users_code import is_users_file

TINY = Path(__file__).with_name("tiny.yaml")

DRIVER = """\
from cosim.sw.driver.policies.invalidate import PerIommu

class Wrong(PerIommu):
    async def range(self, driver, domain, start, end):
        {statement}
"""


@pytest.fixture
def run(tmp_path):
    def run(statement: str):
        path = tmp_path / "my_driver.py"
        path.write_text(DRIVER.format(statement=statement))
        return CliRunner().invoke(main, ["run", str(TINY), "-q", "--driver", f"{path}:Wrong"])

    return run


@pytest.mark.parametrize("statement", ["1 / 0", "await driver.send(None, None)"])
def test_a_users_driver_that_fails_is_named_with_file_and_line(run, statement):
    """Whether it fails itself or asks of cosim what it cannot do."""
    failed = run(statement)
    assert failed.exit_code == 2
    assert failed.stderr.startswith("your code has failed: ")
    assert "my_driver.py:5 in range" in failed.stderr
    assert "error in cosim" not in failed.stderr


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("self.barrier()", "NeverAwaited: PerIommu.barrier: called without await"),
        ("forgotten = self.barrier()", "NeverAwaited: PerIommu.barrier: called without await"),
        ("import asyncio; await asyncio.sleep(0)", "awaited None, which is no operation of a CPU"),
        ("import sys; sys.exit(0)", "Exited: it has called sys.exit(0)"),
        ("raise SystemExit", "Exited: it has called sys.exit(None)"),
    ],
)
def test_what_python_lets_pass_in_a_users_driver_is_told_once_as_an_error(run, statement, said):
    """Nothing was done, or nothing would have been told of the run; the exit code was 0 or 3."""
    failed = run(statement)
    assert failed.exit_code == 2
    assert failed.stderr.startswith("your code has failed: ")
    assert said in failed.stderr
    assert failed.stderr.count("my_driver.py:5 in range") == 1


TABLES = """\
from cosim.sw.driver.policies.tables_generic import Generic

class Wrong(Generic):
    async def {method}(self, *asked):
        answer = await super().{method}(*asked)
        return {answer}
"""


@pytest.mark.parametrize(
    ("method", "answer", "said"),
    [
        ("map_pages", "None", "Wrong.map_pages returned None, which is not a MapResult"),
        ("unmap_pages", "None", "Wrong.unmap_pages returned None, which is not an int"),
        ("unmap_pages", "True", "Wrong.unmap_pages returned True, which is not an int"),
        ("publish", "int(answer)", "Wrong.publish returned 0, which is not a Loaded"),
    ],
)
def test_an_answer_of_another_type_is_an_error_of_the_policy_that_gave_it(tmp_path, method, answer, said):
    """Nothing of the policy is on the stack any more when the answer is used."""
    path = tmp_path / "my_tables.py"
    path.write_text(TABLES.format(method=method, answer=answer))
    failed = CliRunner().invoke(main, ["run", str(TINY), "-q", "--driver", f"{path}:Wrong"])
    assert failed.exit_code == 2
    assert failed.stderr == f"your code has failed: WrongAnswer: {said}\n  {path}:4 in {method}\n"


NUMBERS = """\
from cosim.sw.driver.policies.pscid import Shared

class Wrong(Shared):
    async def born(self, driver, domain):
        driver.ids.setdefault("mine", []).append(7)
        await domain.pscid.store(7)
"""


def test_what_a_policy_leaves_where_cosim_looks_for_something_else_names_its_file(tmp_path):
    """It is come upon at the end of a run whose threads have all ended."""
    path, topology = tmp_path / "my_numbers.py", tmp_path / "ends.yaml"
    path.write_text(NUMBERS)
    topology.write_text(TINY.read_text().replace("map-unmap,", "map-unmap, count: 1,"))
    failed = CliRunner().invoke(main, ["run", str(topology), "-q", "--driver", f"{path}:Wrong"])
    assert failed.exit_code == 2
    assert failed.stderr == (
        "your code has failed: WrongThing: Wrong leaves driver.ids['mine'] as [7], which is not an Ida\n"
        f"  {path}:4 in born\n"
    )


OPERATIONS = "from cosim.sim import operations; from cosim.sim.operations import Fence as F, MmioWrite"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("F('rw', 'rw')", "F: called without await, which does nothing"),
        ("operations.Work(1)", "operations.Work: called without await"),
        ("F('rw', 'rw'); MmioWrite(0, 4, 1)", "F, MmioWrite: called without await"),
        ("if False: domain.root.store(0)", "domain.root.store: called without await"),
    ],
)
def test_an_operation_that_a_users_driver_makes_and_does_not_await_is_told_before_it_runs(run, statement, said):
    """It does nothing, and Python says nothing of it."""
    failed = run(f"{OPERATIONS}\n        {statement}")
    assert failed.exit_code == 2
    assert failed.stderr.startswith(f"your code has failed: NeverAwaited: {said}")
    assert "my_driver.py:6 in range" in failed.stderr
    assert not failed.stdout


def test_what_only_looks_like_an_operation_that_is_not_awaited_is_none(run):
    """A function of that name, a method of what is no kernel object, and an operation that is awaited later."""
    lines = [
        OPERATIONS,
        "operations = {}",
        "operations.get(1)",
        "def MmioWrite(*_): pass",
        "MmioWrite(1)",
        "if False: driver.kernel.heap.store(0)",
        "later = F('rw', 'rw')",
        "await later",
        "await super().range(driver, domain, start, end)",
    ]
    assert run("\n        ".join(lines)).exit_code == 0


def test_what_else_a_users_driver_warns_of_is_shown_and_fails_nothing(run):
    with pytest.warns(UserWarning, match="mind the gap"):
        warned = run("import warnings; warnings.warn('mind the gap'); await super().range(driver, domain, start, end)")
    assert warned.exit_code == 0


def test_a_signal_that_ends_the_process_in_the_middle_of_a_users_code_still_does(run):
    """`leave` is what its handler calls."""
    assert run("from cosim.shell import leave; leave(4)").exit_code == 4


def test_an_error_inside_cosim_says_so_with_exit_code_3(monkeypatch):
    monkeypatch.setattr(cosim.system.plan, "FIRST_VECTOR", "sixteen")
    failed = CliRunner().invoke(main, ["run", str(TINY), "-q"])
    assert failed.exit_code == 3
    assert failed.stderr.startswith("cosim: internal error: TypeError: ")


def test_an_error_inside_cosim_says_with_a_users_driver_that_it_may_come_of_what_that_returns(tmp_path):
    """What it returns for each bond is not looked at, and used far from there."""
    path = tmp_path / "my_numbers.py"
    path.write_text(
        "from cosim.sw.driver.policies.pscid import Shared\n"
        "class Text(Shared):\n"
        "    async def of(self, domain, bond):\n"
        "        return 'one'\n"
    )
    failed = CliRunner().invoke(main, ["run", str(TINY), "-q", "--driver", f"{path}:Text"])
    assert failed.exit_code == 3
    assert "This is an error in cosim, not in your topology; or of what " in failed.stderr
    assert f"{path} has given it." in failed.stderr or f"{path}, " in failed.stderr


@pytest.mark.parametrize(
    ("named", "users"), [("cosim/sim/ranks.py", False), ("cosim/sim/mine.py", True), ("mine.py", True)]
)
def test_what_the_compiled_core_calls_its_files_are_files_of_cosim_wherever_it_runs(
    monkeypatch, tmp_path, named, users
):
    """They are named from the folder that cosim is in."""
    monkeypatch.chdir(tmp_path)
    assert is_users_file(named) is users
