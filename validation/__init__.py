"""The model against what others have measured: `make validate` makes every run that is missing, docs/validation.md.

Each target is a file with a `TARGET`: a topology in `topologies/`, points to calibrate on, points to predict, the
source of the numbers, and what is compared. `targets.py` lists them, `kept.py` is what is kept of an outcome, `page.py`
writes the page.
"""
