"""Bring up to date what README.md and docs/ quote, the examples' outputs, and the pages that models are told in.

A block ```console holds commands after `$ ` and what they print; ```console exit=1 says what they end with. A block
```python file=PATH holds a file of the repository; ```yaml write=NAME makes a file that the commands below it find.
`python docs/generate.py [--check] [PAGE...]`, or `make docs`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import defects
import reference
import review

from validation import page as validation

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(?P<language>console|python|yaml)(?P<options>[^\n`]*)\n(?P<body>.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^\$ (?P<command>(?:[^\n]*\\\n)*[^\n]*(?:\n> [^\n]*)*)$", re.M)
VISIBLE = ("docs", "examples", "tests", "topologies")
"""What a command finds in its directory, which is else empty and thrown away at the end of the page."""
PATIENCE_S = 120
WRITTEN = {reference.PAGE: reference.reference, defects.PAGE: defects.defects, review.PAGE: review.page}
WRITTEN |= {validation.PAGE: validation.page}
"""What writes the pages that are made from the models alone."""


class StaleError(Exception):
    """A page that cannot be generated: the command, and what it did."""


def everything(root: Path = ROOT) -> list[Path]:
    """All that can be brought up to date: every page that may hold blocks, and the output of each example."""
    texts = {*(root / "docs").glob("*.md"), *(root / "docs" / name for name in WRITTEN)}
    outputs = [example.with_suffix(".out") for example in (root / "examples").glob("*.py")]
    return [root / "README.md", *sorted(texts), *sorted(outputs)]


def generated(text: str, root: Path = ROOT) -> str:
    """`text` with its blocks brought up to date. Raises StaleError if a command does not end as announced."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for visible in VISIBLE:
            if (root / visible).exists():
                (directory / visible).symlink_to(root / visible)
        return FENCE.sub(lambda block: _renewed(block, root, directory), text)


def _renewed(block: re.Match[str], root: Path, directory: Path) -> str:
    options = dict(option.partition("=")[::2] for option in block["options"].split())
    if block["language"] == "console":
        body = "".join(_transcript(block["body"], directory, int(options.get("exit", 0))))
    elif "file" in options:
        body = (root / options["file"]).read_text(encoding="utf-8").rstrip() + "\n"
    else:
        body = block["body"]
        if "write" in options:
            (directory / options["write"]).write_text(body, encoding="utf-8")
    return f"```{block['language']}{block['options']}\n{body}```"


def _transcript(body: str, directory: Path, wanted: int) -> Iterator[str]:
    """The commands of a block, each with what it prints now."""
    for match in COMMAND.finditer(body):
        command = match["command"].replace("\n> ", "\n")
        yield f"$ {match['command']}\n{printed(command, directory, wanted)}"


def printed(command: str, directory: Path, wanted: int = 0) -> str:
    """What a command prints. Raises StaleError if it does not end with `wanted`."""
    ended = subprocess.run(
        command,
        shell=True,
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    if ended.returncode != wanted:
        raise StaleError(f"`{command}` ended with {ended.returncode}, not with {wanted}; it printed:\n{ended.stdout}")
    return ended.stdout


def environment() -> dict[str, str]:
    """The same for everybody: 80 columns, no colour, UTF-8, the `cosim` and `python` that run this, interpreted.

    A compiled core prints the same, but one of another version of the source would be told in every output.
    """
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "TMPDIR", "SYSTEMROOT")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    fixed = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
    fixed |= {"COSIM_COMPILED": "0"}
    return {**kept, **fixed, "PATH": path}


def renewed(page: Path) -> str:
    """The text that `page` should have. Raises StaleError."""
    if page.suffix == ".out":
        return printed(f"python {page.with_suffix('.py').name}", page.parent)
    if page.name in WRITTEN:
        return WRITTEN[page.name]()
    return generated(page.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The script; returns its exit code: 1 if something is out of date, or cannot be brought up to date."""
    parser = argparse.ArgumentParser(description="Bring README.md, docs/ and the examples' outputs up to date.")
    parser.add_argument("pages", nargs="*", type=Path, help="all, if none is named")
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    options = parser.parse_args(arguments)
    failed = False
    for page in [page.resolve() for page in options.pages] or everything():
        name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
        old = page.read_text(encoding="utf-8") if page.exists() else ""
        try:
            new = renewed(page)
        except StaleError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
            continue
        if new == old:
            print(f"{name}: up to date")
        elif options.check:
            lines = (old.splitlines(keepends=True), new.splitlines(keepends=True))
            print(f"{name}: out of date", "".join(difflib.unified_diff(*lines, "is", "should be")), sep="\n")
            failed = True
        else:
            page.write_text(new, encoding="utf-8")
            print(f"{name}: renewed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
