"""A finding as a reviewer draws it: a column for each thread, the hardware and the devices, time downwards.

steps.py      what is worth a line, and in which words
memory.py     what the words and pages of memory are called
effects.py    the effects of a run as steps
recording.py  the steps of a run, by what it tells
choosing.py   which of them belong to what was violated
picture.py    columns, lines, and what stands below them
plain.py      as text of 80 columns, or fewer
html.py       as a page of its own
"""

from cosim.study.report.ordering.html import html
from cosim.study.report.ordering.picture import Picture, picture_of
from cosim.study.report.ordering.plain import WIDTH, plain

__all__ = ["WIDTH", "Picture", "html", "picture_of", "plain"]
