"""--kernel FILE.py: functions of the kernel that a user adds, or puts in the place of those that are there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.cli.main import main
from cosim.config.problems import TopologyError
from cosim.study.finding.driver_files import names_of
from cosim.sw.object_driver import loading
from cosim.sw.object_driver.loading import BUS, OPERATIONS
from cosim.system.load import load

DRIVER = Path(__file__).parent / "driver"
RACES = str(Path(__file__).parent / "races.yaml")
OWN = f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}"
SAYS_SO = """
async def register(call):
    call.machine.kernel.log("info", f"registered by {call.caller}")
    call.machine.registered[call[2]] = call[0]
    return 0


FUNCTIONS = {"iommu_device_register": register}
"""

DIES_IN_A_FENCE = """
async def ktime_get(call):
    if call.hart.part == "fence":
        raise call.oops("the clock has stopped")
    return 0


FUNCTIONS = {"ktime_get": ktime_get}
"""


def run(file: Path, text: str, *words: str) -> Result:
    file.write_text(text)
    return CliRunner().invoke(main, ["run", RACES, "--driver", OWN, "--kernel", str(file), "-q", *words])


def test_a_function_of_the_kernel_is_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log.dmesg"
    done = run(tmp_path / "mine.py", SAYS_SO, "--until", "1 us", "-t", str(log))
    assert "registered by own_domains_start" in log.read_text(), done.output


def test_a_thread_that_dies_while_it_waits_for_a_fence_has_left_both_calls(tmp_path: Path) -> None:
    done = run(tmp_path / "mine.py", DIES_IN_A_FENCE)
    assert done.exit_code == 1, done.output
    assert "in own_sync: ktime_get: the clock has stopped" in " ".join(done.output.split())


def test_an_object_may_ask_for_what_only_the_file_has(tmp_path: Path) -> None:
    lacking = load_problems(f"object:{DRIVER / 'queue.o'}")
    assert "own_domains_start (asked for by queue.o)" in lacking
    assert "or add them with --kernel FILE.py" in lacking
    file = tmp_path / "more.py"
    names = ("own_domains_start", "own_domains_stop")
    file.write_text(f"async def nothing(call):\n    return 0\n\nFUNCTIONS = dict.fromkeys({names}, nothing)\n")
    assert "own_domains_start" not in load_problems(f"object:{DRIVER / 'queue.o'},{file}")


def test_a_variable_that_the_file_has_is_taken_if_an_object_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image stands here for that of an object that does."""
    file, driver = tmp_path / "mine.py", tmp_path / "driver.o"
    file.write_text("FUNCTIONS = {}\nDATA = {'mine': 8}\n")
    driver.touch()
    image = SimpleNamespace(
        linked=SimpleNamespace(outside={}, given={"mine": 0x1000}),
        info=SimpleNamespace(variables=[SimpleNamespace(kind=kind, address=0x2000) for kind in (OPERATIONS, BUS)]),
    )
    monkeypatch.setattr(loading, "load", lambda *_: image)
    assert loading.load_objects([driver, file]).image is image


def load_problems(driver: str) -> str:
    try:
        load("quickstart", driver=driver)
    except TopologyError as error:
        return str(error)
    return ""


def test_a_finding_keeps_the_file_as_it_keeps_the_objects(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SAYS_SO)
    assert names_of(load("quickstart", driver=f"{OWN},{file}").driver)[-1] == str(file)


def test_what_fails_in_the_file_is_told_as_the_users(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    done = run(file, SAYS_SO.replace("    return 0", "    return 1 // 0"))
    assert done.exit_code == 2
    assert f"your code has failed: ZeroDivisionError: integer division or modulo by zero\n  {file}:5" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "mine.py: FUNCTIONS is missing: a dictionary of coroutine functions"),
        ("FUNCTIONS = {'kfree': 3}\n", "kfree is no coroutine function; write `async def`, with one argument"),
        ("async def f():\n    pass\nFUNCTIONS = {'kfree': f}\n", "mine.py:1: kfree must take one argument, the call"),
        ("async def f(call):\n    pass\nFUNCTIONS = {'kfre': f}\n", "no object asks for kfre; did you mean kfree?"),
        ("async def f(call):\n    pass\nFUNCTIONS = {'a b': f}\n", "'a b' is no name of a function"),
        ("FUNCTIONS = {}\nDATA = {'jiffie': 8}\n", "mine.py: no object asks for jiffie; "),
        ("FUNCTIONS = {}\nDATA = {'jiffies': 'long'}\n", "DATA: jiffies has the size 'long'; it is a number of bytes"),
        ("FUNCTIONS = {}\nDATA = 7\n", "DATA is no dictionary of sizes"),
        ("def f(:\n", "mine.py:1 does not load: SyntaxError"),
        ("raise OSError('disk')\n", "mine.py does not load: OSError: disk"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    done = run(tmp_path / "mine.py", text)
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kernel", "mine.py"), "give --driver object:PATH,..."),
        (("--driver", "latest", "--kernel", "mine.py"), "give --driver object:PATH,..."),
        (("--driver", OWN, "--kernel", "mine.c"), "--kernel mine.c: a file of Python is wanted"),
        (("--driver", OWN, "--kernel", "none.py"), "none.py: no such file in "),
        (("--driver", "object:mine.py"), "there is no object beside it"),
    ],
)
def test_where_no_file_can_be_added_that_is_said(words: tuple[str, ...], said: str) -> None:
    for verb in (("run",), ("explore",)):
        done = CliRunner().invoke(main, [*verb, RACES, *words])
        assert done.exit_code == 2, done.output
        if "object:mine.py" not in words:
            assert said in done.output
