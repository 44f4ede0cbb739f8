"""Compile the core, from the very source that is read, into `cosim/_compiled`: `make fast` (docs/compiled-core.md).

mypyc writes C into `.fast`, the C compiler makes objects of it there, and what has not changed since is not compiled
again. What was there is used until all of the new is there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from modules import ROOT, module_name, modules

from cosim.compiled import FOLDER, LIBRARY, PYTHON, STAMP, Core, version_of

WORK = ROOT / ".fast"
FLAGS = ("-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt") if sys.platform == "linux" else ()
"""All that calls one another lies in one library. Without these a call from file to file, and each of Python's, goes by
way of a table of the dynamic linker's: a tenth of a hit."""


def main() -> None:
    """Exit code 0 if a core that fits is there at the end, 2 if it cannot be compiled here, 1 if that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="C compilers at a time (%(default)s)")
    parser.add_argument("--anew", action="store_true", help="also if what is there fits")
    arguments = parser.parse_args()
    files, version = list(modules()), version_of(str(ROOT / "cosim"))
    core = Core()
    if not arguments.anew and core.modules == {*map(module_name, files)} and not core.wrong():
        print(f"{FOLDER} is of this source and this Python")
        return
    require_compiler()
    print(f"mypyc writes C for {len(files)} modules; with what comes then it takes minutes, the first time", flush=True)
    compiled(translated(files), arguments.jobs)
    put_in_place([module_name(path) for path in files], version)
    print(f"{FOLDER}: {len(files)} modules")


def require_compiler() -> None:
    """End with a sentence if there is no C compiler, no mypyc, or no header of this Python."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(command) is None:
        refuse(f"there is no C compiler here ({command}); name one with: make fast CC=gcc", 2)
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        refuse(f"there is no {header}, which a C compiler needs; Debian has it in python3-dev", 2)
    try:
        import mypyc.build  # noqa: F401
        import setuptools  # noqa: F401
    except ImportError as error:
        refuse(f"{error.name} is not here; pip install --editable '.[dev]' installs it", 2)


def translated(files: list[Path]) -> list[Any]:
    """The extensions that make up the core, as C in `.fast`."""
    from mypyc.build import mypycify

    os.chdir(ROOT)
    try:
        return list(
            mypycify(
                [str(path) for path in files],
                opt_level="2",
                debug_level="0",
                multi_file=True,
                group_name=LIBRARY.removesuffix("__mypyc"),
                target_dir=str(WORK),
            )
        )
    except SystemExit as ended:
        if ended.code not in (0, None):
            refuse("mypyc does not take it; docs/compiled-core.md has what may not be written", 1)
        raise


def compiled(extensions: list[Any], jobs: int) -> None:
    """Compile and link them; an object whose C and headers have not changed is kept."""
    from distutils.errors import CCompilerError, DistutilsError

    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):  # type: ignore[misc]
        def build_extensions(self) -> None:
            headers = b"".join(path.read_bytes() for path in sorted(WORK.glob("*.h")))
            self.compiler._compile = kept(self.compiler._compile, headers, waiting := [])
            compile_all = self.compiler.compile

            def at_once(*given: Any, **named: Any) -> Any:
                objects = compile_all(*given, **named)
                if len(waiting) > 1:
                    print(f"{len(waiting)} of {len(objects)} files of C have changed", flush=True)
                with ThreadPoolExecutor(jobs) as pool:
                    for done in [pool.submit(job) for job in waiting]:
                        done.result()
                waiting.clear()
                return objects

            self.compiler.compile = at_once
            super().build_extensions()

    for extension in extensions:
        extension.extra_compile_args += FLAGS
    command = Build(Distribution({"name": "cosim", "ext_modules": extensions}))
    command.build_lib, command.build_temp, command.force = str(WORK / "lib"), str(WORK / "objects"), True
    command.ensure_finalized()
    try:
        command.run()
    except (CCompilerError, DistutilsError, OSError) as error:
        refuse(f"the C compiler failed ({str(error).splitlines()[0]})", 1)


def kept(compile_one: Callable[..., None], headers: bytes, waiting: list[Callable[[], None]]) -> Callable[..., None]:
    """In place of `compile_one`: it notes what has to be done, unless that was done before, with the same headers."""

    def note(made: str, source: str, extension: str, flags: list[str], further: list[str], *rest: Any) -> None:
        told = Path(source).read_bytes() + headers + " ".join([*flags, *further]).encode()
        mark, key = Path(f"{made}.of"), hashlib.sha256(told).hexdigest()
        if mark.exists() and mark.read_text() == key and Path(made).exists():
            return

        def job() -> None:
            compile_one(made, source, extension, flags, further, *rest)
            mark.write_text(key)

        waiting.append(job)

    return note


def put_in_place(names: list[str], version: str) -> None:
    """Put the extensions where they are looked for, with the stamp that says what they are of."""
    new, old = Path(f"{FOLDER}.new"), Path(f"{FOLDER}.old")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    new.mkdir()
    for name in (LIBRARY, *names):
        shutil.copy2(WORK / "lib" / f"{name.replace('.', '/')}.{PYTHON}.so", new / f"{name}.{PYTHON}.so")
    lines = [f"python {PYTHON}", f"source {version}", *(f"module {name}" for name in names)]
    (new / STAMP).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with contextlib.suppress(FileNotFoundError):
        os.rename(FOLDER, old)
    new.rename(FOLDER)
    shutil.rmtree(old, ignore_errors=True)


def refuse(why: str, code: int) -> NoReturn:
    """End with one sentence."""
    print(f"make fast: {why}; cosim runs interpreted as before", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
