"""What samples say about a mean, and how surely.

student.py    Student's t distribution
blocks.py     sums of so many samples in a row, however many there are
interval.py   the confidence interval of a mean by batch means, or why there is none
"""
