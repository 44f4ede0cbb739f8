"""The tables of a results file, and what tells such a file from others."""

from __future__ import annotations

APPLICATION = 0x636F7369
"""SQLite's `application_id`: `cosi` in ASCII."""

VERSION = 2
"""SQLite's `user_version`: of these tables. Version 1 had no `doubles`."""

READ = (1, VERSION)
"""Versions that are read. Another one than `VERSION` is not written."""

TABLES = """
-- Each call of `cosim sweep` that has written into this file, and what it was told.
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY,
    began TEXT NOT NULL,            -- UTC
    command TEXT NOT NULL,          -- what does the same from a shell
    topology TEXT NOT NULL,         -- its name
    base TEXT NOT NULL,             -- the topology without the axes, or at a point, as YAML that runs by itself
    axes TEXT NOT NULL,             -- JSON: {path: [values]}
    metrics TEXT NOT NULL,          -- JSON: the names that its table is of
    cosim TEXT NOT NULL,
    model TEXT NOT NULL,
    python TEXT NOT NULL,
    host TEXT NOT NULL
);

-- A configuration: a topology without its seed. Equal configurations have equal ids, whatever led to them.
CREATE TABLE points (
    id TEXT PRIMARY KEY,
    driver TEXT NOT NULL,
    resolved TEXT NOT NULL          -- YAML that runs by itself, with the seed of one of its runs
) WITHOUT ROWID;

-- The points of a sweep, in its order, and what the axes say at each.
CREATE TABLE settings (
    sweep INTEGER NOT NULL REFERENCES sweeps(id),
    place INTEGER NOT NULL,
    point TEXT NOT NULL,            -- empty until the sweep has come to it
    settings TEXT NOT NULL,         -- JSON: {path: value as written}
    PRIMARY KEY (sweep, place)
) WITHOUT ROWID;

-- Runs that have ended, in whichever way. The id is the hash of point, seed and model.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    point TEXT NOT NULL,
    replication INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,          -- ok, failed, stuck; error, lost, invalid: there are no numbers
    reason TEXT NOT NULL,           -- in words, why it is not ok
    digest TEXT NOT NULL,
    host_s REAL NOT NULL,           -- how long it took
    ended TEXT NOT NULL,            -- UTC
    columns INTEGER REFERENCES columns(id),
    doubles BLOB,                   -- the same numbers, little-endian: of very many quicker to read
    numbers TEXT NOT NULL           -- JSON: a list, of which `names` has the names; to 12 digits
);
CREATE INDEX runs_of_points ON runs(point, replication);

-- Lists of names: runs that measure the same share one.
CREATE TABLE columns (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
CREATE TABLE names (
    columns INTEGER NOT NULL REFERENCES columns(id),
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (columns, place)
) WITHOUT ROWID;

-- The distribution of each latency of each run.
CREATE TABLE histograms (
    run TEXT NOT NULL REFERENCES runs(id),
    name TEXT NOT NULL,             -- such as nic0.read
    buckets TEXT NOT NULL,          -- JSON: {"smallest latency in ps": samples}
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- One row for each run and number: SELECT value FROM scalars WHERE run = ... AND name = 'nic0.read.mean_ps'.
CREATE VIEW scalars AS
    SELECT runs.id AS run, names.name AS name, number.value AS value
    FROM runs, json_each(runs.numbers) AS number
    JOIN names ON names.columns = runs.columns AND names.place = number.key;
"""

ADDED = """
-- The seeds that a sweep asks for at each of its points; of a sweep of an older cosim there is none.
CREATE {temp} TABLE IF NOT EXISTS asked (
    sweep INTEGER NOT NULL,
    place INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    PRIMARY KEY (sweep, place, seed)
) WITHOUT ROWID;

-- The runs of each point of each sweep, of its model, once for each place: places of equal configurations share them.
-- Of a sweep that has not noted its seeds these are all that there are.
CREATE {temp} VIEW IF NOT EXISTS swept AS
    SELECT settings.sweep, settings.place, settings.settings, runs.id AS run
    FROM settings
    JOIN sweeps ON sweeps.id = settings.sweep
    JOIN runs ON runs.point = settings.point AND runs.model = sweeps.model
    WHERE EXISTS (
        SELECT 1 FROM asked
        WHERE asked.sweep = settings.sweep AND asked.place = settings.place AND asked.seed = runs.seed
    ) OR (
        NOT EXISTS (SELECT 1 FROM asked WHERE asked.sweep = settings.sweep)
        AND COALESCE(CAST(json_extract(settings.settings, '$."run.seed"') AS INTEGER), runs.seed) = runs.seed
    );
"""
"""What files of before lack: made where one is written, and beside it (`temp`) where it is read."""

JSON = {
    "sweeps": ("axes", "metrics"),
    "points": (),
    "settings": ("settings",),
    "runs": ("numbers",),
    "columns": ("names",),
    "histograms": ("buckets",),
}
"""Which columns of each table with text have JSON."""
