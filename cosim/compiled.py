"""The compiled core, where there is one: does it fit this source and this Python, and is it wanted?

`make fast`, or a wheel, puts one beside this file; which modules it has is written there, in its stamp. Nothing here is
imported where there is none. docs/compiled-core.md says what it is.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location

from cosim.shell import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

PACKAGE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(PACKAGE, "_compiled")
STAMP = "stamp"
LIBRARY = "cosim_core__mypyc"
"""What all compiled modules share; each of them is a door to it."""
LAYERS = ("events", "hw", "sim", "spec", "study/gather", "units")
"""What the core is compiled from, or relies on while it is compiled."""
SWITCH = "COSIM_COMPILED"
"""With this variable of the environment at 0, everything runs interpreted."""
PYTHON = EXTENSION_SUFFIXES[0].split(".")[1]
"""What an extension of this Python is called: ``cpython-311-x86_64-linux-gnu``."""


class Core:
    """Finds the modules of a compiled core, if it fits; if not, says so in one sentence, and finds nothing."""

    def __init__(self, folder: str = FOLDER) -> None:
        self.folder = folder
        self.modules: frozenset[str] = frozenset()
        self._made: dict[str, str] = {}
        self._fits: bool | None = None
        try:
            with open(os.path.join(folder, STAMP), encoding="utf-8") as file:
                lines = [line.split() for line in file]
            self._made = {key: value for key, value in lines if key != "module"}
            self.modules = frozenset(value for key, value in lines if key == "module")
        except (OSError, ValueError):
            self._made = {}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where the module called `name` is, as `sys.meta_path` asks for it."""
        if name in self.modules and self.fits:
            return spec_from_file_location(name, self._file(name))
        return None

    @property
    def fits(self) -> bool:
        """Whether the modules come from here; found out when the first of them is asked for."""
        if self._fits is None:
            wrong = self.wrong()
            self._fits = not wrong
            if wrong:
                say(f"cosim: the compiled core {wrong}: everything runs interpreted; `make fast` compiles it anew")
        return self._fits

    def wrong(self) -> str:
        """Why it cannot be used, empty if it can."""
        python = self._made.get("python")
        if not self.modules or python is None:
            return "is incomplete"
        if python != PYTHON:
            return f"is one of {python}, and this is {PYTHON}"
        if self._made.get("source") != version_of(PACKAGE):
            return "is one of another version of the source"
        if not all(os.path.exists(self._file(name)) for name in self.modules):
            return "is incomplete"
        try:
            self._load_library()
        except ImportError as error:
            return f"cannot be loaded ({error})"
        return ""

    def _load_library(self) -> None:
        """What the modules look for under its name when they are imported. ImportError."""
        if LIBRARY not in sys.modules:
            spec = spec_from_file_location(LIBRARY, self._file(LIBRARY))
            assert spec is not None
            assert spec.loader is not None
            library = module_from_spec(spec)
            spec.loader.exec_module(library)
            sys.modules[LIBRARY] = library

    def _file(self, name: str) -> str:
        return os.path.join(self.folder, f"{name}.{PYTHON}.so")


def version_of(package: str) -> str:
    """The hash of the names and bytes of the source below `package` that a core is compiled from."""
    import hashlib

    found = hashlib.sha256()
    for layer in LAYERS:
        for folder, folders, names in os.walk(os.path.join(package, layer)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(".py"):
                    path = os.path.join(folder, name)
                    with open(path, "rb") as file:
                        content = file.read().replace(b"\r\n", b"\n")
                    where = os.path.relpath(path, package).replace(os.sep, "/")
                    found.update(f"{where}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:16]


def install() -> None:
    """From here on modules of the core are the compiled ones, unless the environment says no."""
    if os.environ.get(SWITCH) != "0":
        core = Core()
        if core.modules or core.fits:  # of one without modules none will be asked for
            sys.meta_path.insert(0, core)


def runs() -> bool:
    """Whether the core of this process is compiled."""
    return any(isinstance(finder, Core) and finder.fits for finder in sys.meta_path)
