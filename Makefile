# `make demo` and `make test` work from a fresh clone; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(if \
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo fit),$(name))))
BIN := .venv/bin
INSTALLED := .venv/.installed
DIR ?= demo

# Both names, because pip pins the build's own dependencies through the first until 25.2 and the second from 25.3 on.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start interpreters by the hundred, so what is compiled is kept.
unexport PYTHONDONTWRITEBYTECODE
# Unit tests ask nothing of a disk that lasts; the others do.
MEMORY := $(firstword $(wildcard /dev/shm) /tmp)

.PHONY: help setup demo check test fuzz sweep mutants bench lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

setup: $(INSTALLED)  ## .venv with the pinned versions; quick the second time

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Imprint needs Python 3.11 or newer. Install it, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11, which Imprint needs" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/packages python3-venv
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Installing the pinned dependencies into .venv"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: setup  ## a production line of virtual units in ./demo; another folder with DIR=
	@$(if $(filter-out file,$(origin DIR)),,rm -rf demo)
	$(BIN)/imprint demo --dir "$(DIR)"

check: setup  ## format, lint, types, layers, unit tests: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	TMPDIR=$(MEMORY) $(BIN)/pytest -n 2 tests/unit

test: check  ## everything
	.ci/packages openssl strace firmware-microbit-micropython
	$(BIN)/pytest -n 2 tests --ignore=tests/unit

fuzz: setup  ## the long form of every test with random values: 5,000 examples each, about an hour
	IMPRINT_EXAMPLES=long $(BIN)/pytest -n 2 -m hypothesis tests

sweep: setup  ## the long form of the fault tests: every message lost or late, every write the last one, about half an hour
	.ci/packages openssl strace
	IMPRINT_SWEEP=long $(BIN)/pytest -n 2 -rP tests/faults

mutants: setup  ## wrong versions of the authority's rules, each of which must fail a unit test, about half an hour
	$(BIN)/python tests/mutate.py

bench: setup  ## rates, as ratios to a limit or a peer measured in the same run
	$(BIN)/python -m benchmarks

lock: PIP_CONSTRAINT :=
lock: PIP_BUILD_CONSTRAINT :=
lock:  ## constraints.txt made anew, from the newest versions that pyproject.toml allows
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet 'setuptools>=77' '.[dev]'
	{ sed '/^[^#]/,$$d' constraints.txt; build/lock/bin/python -m pip freeze --all --exclude pip --exclude imprint; } > build/lock/constraints.txt
	mv build/lock/constraints.txt constraints.txt

clean:  ## removes .venv, caches, build output and ./demo
	rm -rf .venv build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
