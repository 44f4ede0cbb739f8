"""A finding: a run in which something was violated, as one file; how it is shrunk, and how it is seen again.

finding.py       what it holds, and its file
reading.py       a file is read, or refused: cut short, edited, of another version
driver_files.py  the files of a driver that is the user's own
replay.py        its run is made again, and compared
smaller.py       smaller topologies, made from a topology's data
shrink.py        the smallest point that shows the same signature
"""

from cosim.study.finding.finding import Finding
from cosim.study.finding.reading import read

__all__ = ["Finding", "read"]
