"""The results of a study: one SQLite file, which is written so that nothing finished is lost or doubled.

schema.py       the tables, and what tells such a file from others
file.py         such a file is opened, made, or refused
numbers.py      a result as numbers by name
stored.py       a run as it is kept
results.py      runs are added to it, and read
estimate.py     a mean over replications, and how surely it is known
frame.py        runs as tidy rows: a data frame
export.py       the same as CSV and Parquet
extras.py       packages that come with an extra, and the sentence that names it
tested.py       numbers side by side, and what of their differences is no chance
comparison.py   what differs between two of them
"""
