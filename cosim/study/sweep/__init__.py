"""Sweeps: a topology at every point of some axes, each with replications.

values.py    the values of an axis, as they are written: lists and ranges
axes.py      axes, and which of them vary together
where.py     a condition that points have to meet
samples.py   points drawn instead of all: Latin hypercube, Sobol
study.py     a study as a YAML file
points.py    a point of the axes becomes a topology, with an id
request.py   how often each is run, and how surely its mean has to be known
plan.py      all of this together, from whoever asks
sweep.py     what is missing is run, and kept
"""
