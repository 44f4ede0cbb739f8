"""Litmus tests: small concurrent programs with the complete sets of outcomes that each memory model allows."""

from cosim.study.conform.litmus.forms import LitmusError, are_in, load
from cosim.study.conform.litmus.programs import Test
from cosim.study.conform.litmus.run import LitmusVerdict, run, run_file

__all__ = ["LitmusError", "LitmusVerdict", "Test", "are_in", "load", "run", "run_file"]
