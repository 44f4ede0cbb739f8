"""The command line's help comes at once: nothing heavy is imported for it."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "simpy", "pydantic", "yaml", "rich")

PROGRAM = """
import sys
from cosim.cli import main
main({arguments}, standalone_mode=False)
print("loaded:", *(name for name in {heavy} if name in sys.modules))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    program = PROGRAM.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_what_compiled_drivers_and_clusters_need_is_not_imported_without_them():
    modules = "cosim.system.build, cosim.study.sweep.plan, cosim.study.explore.explore"
    asked_for = ("cosim.isa.translate", "cosim.object.image", "cosim.sw.object_driver.driver", "asyncio")
    program = f"import sys, {modules}; print(*(name for name in {asked_for} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout.split()) == ("", [])
