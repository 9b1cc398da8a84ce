# make quickstart   a student distilled from the weights on this machine, in minutes
# make test         the tests
# make check        everything that has to pass before a change is merged
#
# Python 3.11 is taken where there is one (the CPU build of the pinned torch exists for it), else python3.
# Another one: PYTHON=python3.12 make quickstart. It counts when .venv is made.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
# Beyond four processes, starting them costs more than they save.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4
# Named, since the folders of runs that lie here are none of ours to check.
SOURCES := st_mta examples benchmarks tests $(wildcard *.md)
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: help quickstart test check clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# make /  make /p' Makefile

quickstart: $(VENV)/.installed
	$(BIN)/st-mta quickstart

test: $(VENV)/.installed-dev
	$(PYTEST)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(PYTEST)

clean:
	rm -rf build dist quickstart-out .pytest_cache .ruff_cache .mypy_cache *.egg-info
	find st_mta tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The stamps are newer than what they depend on, so that a second call installs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[quickstart]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[quickstart,dev]'
	touch $(VENV)/.installed $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
