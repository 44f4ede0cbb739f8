"""The command `cosim`, and ``python -m cosim``: the verbs of `cosim.cli`, inside of what the shell can rely on."""

from __future__ import annotations

from cosim import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Do what the command line says, and end with the exit code that `cosim --help` lists."""
    shell.begin()
    try:
        from cosim.cli import main as verbs

        verbs(prog_name="cosim")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:  # a broken installation: of the rest, the verbs themselves tell
        shell.say(f"cosim: internal error: {type(error).__name__}: {error}")
        code = 3
    shell.end(code)


if __name__ == "__main__":
    main()
