"""The search over schedules.

conflicts.py   which effects of a run may be held
orders.py      the partial order of a run
look.py        what is read back of a run
"""
