"""What fails outside the modelled system: a user's own driver is told apart from cosim itself."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import cosim.system.plan
from cosim.cli import main

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


def test_an_error_inside_cosim_says_so_with_exit_code_3(monkeypatch):
    monkeypatch.setattr(cosim.system.plan, "FIRST_VECTOR", "sixteen")
    failed = CliRunner().invoke(main, ["run", str(TINY), "-q"])
    assert failed.exit_code == 3
    assert failed.stderr.startswith("cosim: internal error: TypeError: ")
