"""Litmus tests: small concurrent programs with the complete sets of outcomes that each memory model allows."""

from cosim.study.litmus.programs import LitmusError, Test, are_in, load
from cosim.study.litmus.run import Verdict, run, run_file, summary

__all__ = ["LitmusError", "Test", "Verdict", "are_in", "load", "run", "run_file", "summary"]
