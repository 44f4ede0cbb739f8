"""Many runs side by side: `Pool.runs` takes points and gives back records. A search and a sweep share it.

record.py       what is kept of a run
frames.py       messages over a pipe
asked.py        what a process is asked for
whole_run.py    a run from its beginning, in whichever process
prepared.py     a process that has booted a topology, and forks children that make runs of it
alone.py        a process that makes one run after the other, each from its beginning
worker.py       such a process as its parent sees it
start.py        it is started where a fork is forbidden
started.py      such a process, which has a pool of its own
chunks.py       points that go to one process together, and how often they were tried
crew.py         what a pool asks of whatever makes the runs of chunks
processes.py    it is processes here
cluster/        it is a Dask cluster
pool.py         hands out chunks, gathers records in order, has again what was lost
"""

from cosim.study.pool.pool import Pool
from cosim.study.pool.record import Record

__all__ = ["Pool", "Record"]
