"""Parameters of a topology from measurements, and how well they predict those that had no part in it.

`measured` reads a CSV, `parameter` says what may vary and within which bounds, `evaluation` makes the runs that are
missing in a results file, `fit` finds the values, and `fitted` is what comes out.
"""
