# The two first commands of the README: `make run` and `make test`. Everything happens in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
MODEL   = $(shell $(BIN)/python -c 'import cosim; print(cosim.model_version)')

# What Python compiles and pytest rewrites is kept in .venv, even where the environment says not to: each process of a
# test run would compile all of it anew.
export PYTHONDONTWRITEBYTECODE =
export PYTHONPYCACHEPREFIX = $(CURDIR)/$(VENV)/pycache

.PHONY: run test test-all test-slow slow-check check litmus conform stress unlisted replays reference mutants pythons faults review \
  review-all validate bench docs studies fast fast-test fast-wheel clean

run: $(STAMP)
	$(BIN)/cosim run quickstart

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cosim needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "Once, a minute or two: making $(VENV), and installing cosim with what it needs into it."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

# Everything: the slow ones need Chromium for the pages, and skip what they are for where it is not installed.
test-all: test test-slow

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

# Which tests are slow and do not say so: that is told in processor time, so that a busy machine accuses nobody.
slow-check: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal --slow-check

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

# Every litmus test under every memory model, then what shows that a wrong one would be seen.
litmus: $(STAMP)
	$(BIN)/cosim conform tests/litmus/data/*.jsonl
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/litmus

# Every conformance scenario, then the same on random machines, with time and without.
conform: $(STAMP)
	$(BIN)/cosim conform tests/conform/data/*.jsonl.gz
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/conform

# The same digests on every Python that is there; name others with PYTHONS="python3.12 python3.13".
PYTHONS ?= python3.11 python3.12 python3.13
pythons: $(STAMP)
	$(BIN)/python tests/digests.py $(PYTHONS)

stress: $(STAMP)
	$(BIN)/python -m tests.stress.equal
	$(BIN)/python -m tests.stress.stress --operations 100000

# Plants one fault after the other, and says which test sees each; what was stopped goes on where it was.
faults: $(STAMP)
	$(BIN)/python -m tests.faults.plant

# Random schedules and latencies of the shipped topologies under four drivers: what docs/findings.md does not list. Hours;
# what was stopped goes on where it was.
unlisted: $(STAMP)
	$(BIN)/python -m tests.stress.unlisted

# Every remark of the review, searched at its first hold and starts, a minute for each driver at most; what was stopped
# goes on where it was.
review: $(STAMP)
	$(BIN)/cosim explore review --one-cell --no-shrink --time 60 --resume -o .review/$(MODEL)
	$(BIN)/python docs/review.py .review/$(MODEL)/outcome.json

# The same over all holds and starts: hours.
review-all: $(STAMP)
	$(BIN)/cosim explore review --no-shrink --resume -o .review-all/$(MODEL)

# 300 findings, each in a fork, in a fresh process and on the other executor: their digests are equal. FINDINGS="folder"
# has what a search has left; what is missing of 300 is made.
replays: $(STAMP)
	$(BIN)/python -m tests.stress.replays $(FINDINGS)

# What runs come to, written down anew; those that are not what they were are named.
reference: $(STAMP)
	$(BIN)/python -m tests.reference.runs

# Each barrier, fence, flush, lock and wait of three drivers taken out: which experiment sees it.
mutants: $(STAMP)
	$(BIN)/python -m tests.stress.mutants

# The model against what others have measured, docs/validation.md; what was stopped goes on where it was.
validate: $(STAMP)
	$(BIN)/python -m validation $(TARGETS)

bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/alternatives.py
	$(BIN)/python benchmarks/driver_operations.py
	$(BIN)/python benchmarks/oracles.py
	$(BIN)/python benchmarks/pool.py
	$(BIN)/python benchmarks/explore.py
	$(BIN)/python benchmarks/sweep.py

# The core compiled, from the source that is read: docs/compiled-core.md. COSIM_COMPILED=0 runs it interpreted all the same.
fast: $(STAMP)
	nice $(BIN)/python compiled/build.py

# What shows that it is the same: digests, conformance, litmus tests, random systems full of ties.
fast-test: fast
	COSIM_COMPILED=1 $(BIN)/python -m pytest -q -n auto --dist worksteal -m "slow or not slow" tests/compiled tests/sim tests/hw tests/study/run tests/conform tests/litmus
	$(BIN)/python -m tests.stress.equal --needs-core

# A wheel of this Python and machine with the compiled core in it; that of `pip wheel .` has none, and runs everywhere.
fast-wheel: fast
	COSIM_WHEEL=compiled $(BIN)/python -m pip wheel --disable-pip-version-check --no-deps --wheel-dir dist .

docs: $(STAMP)
	$(BIN)/python docs/generate.py

# What is missing of the studies, and their pages and figures; what was stopped goes on where it was.
studies: $(STAMP)
	$(BIN)/python docs/studies/make.py $(STUDIES)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .faults .review .review-all .validation .mutants .unlisted \
	  cosim/_compiled cosim/_compiled.new cosim/_compiled.old .fast
