"""The search over schedules.

request.py     what is asked of a search
subjects.py    which topologies, under which drivers, and what has to come out
cells.py       the grid of holds and thread starts
conflicts.py   which effects of a run may be held
orders.py      the partial order of a run
look.py        what is read back of a run, in its own process
search.py      which schedules are run, in which order
mutants.py     drivers with a step taken out
row.py         what came out, of one topology under one driver
journal.py     what was run, so that a search can go on
keep.py        what was found becomes a file
explore.py     all of it
listing.py     what may be held, as a list
"""
