"""Run the studies of `studies/`, and bring their pages and figures up to date: `python docs/studies/make.py [NAME...]`.

What was run is kept in `.studies/`, and is not run again; a study that was stopped goes on where it was. Of a page only
what stands between its marks is written: its text is not. A conclusion that the numbers no longer bear ends it.
"""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ROOT / ".studies"
WRITTEN = re.compile(r"(?<=<!-- written -->\n).*?(?=<!-- end -->)", re.S)

sys.path.insert(0, str(HERE))

from found import Found  # noqa: E402 - it stands beside this file

NAMES = (
    *("nic", "modes", "duplicates", "timeouts", "ranges", "numa", "table_cache", "command_queue", "exposure", "iovas"),
    "attach",
)


def run(name: str, results: Path) -> None:
    """Run what is missing of a study."""
    results.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "cosim", "sweep", name, "-o", str(results)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def write(name: str, results: Path) -> None:
    """Judge the conclusion of a study that was run, draw it, and write its page."""
    study = importlib.import_module(name)
    found = Found.of(results, study.AXES)
    study.check(found)
    study.draw(found, HERE)
    page = HERE / f"{name}.md"
    measured = f"{found.runs} runs, model {found.model}"
    text = f"\n{study.tables(found)}\n\n{measured}; `cosim sweep {name}` makes them.\n\n"
    page.write_text(WRITTEN.sub(lambda _: text, page.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{page.relative_to(ROOT)}: {measured}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all if none is named: {', '.join(NAMES)}")
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES:
            parser.error(f"there is no study {name}; there are: {', '.join(NAMES)}")
    for name in options.names or NAMES:
        run(name, KEPT / f"{name}.sqlite")
        write(name, KEPT / f"{name}.sqlite")


if __name__ == "__main__":
    main()
