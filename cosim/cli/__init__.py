"""The command line: one function per verb, which parses and prints and decides nothing.

options.py     what verbs have in common
main.py        the command, and all its verbs
running.py     run
sweeping.py    sweep
exploring.py   explore
replaying.py   replay
looking.py     check, show, list, schema
conforming.py  conform
"""

from cosim.cli.main import main

__all__ = ["main"]
