"""Runs that a Dask cluster makes: on each of its workers a pool of processes, which is given a chunk at a time.

cluster.py      the connection: found, its workers looked at, lost
crew.py         hands chunks to it and gathers their records
remote.py       what is called on a worker
"""
