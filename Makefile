# `make bench` runs the main job, `make test` all checks, `make quick` those that take under a minute.
# Each sets up its environment itself.
PYTHON ?= python3
VENV := .venv
# One call of pip resolves everything, so that no package can undo another's choice.
READY := $(VENV)/.ready
NEEDS := pyproject.toml constraints.txt
PYTEST := $(VENV)/bin/python -m pytest $(PYTEST_OPTIONS)
# A file stays with one worker, for its fixtures build. More workers would only fill the memory.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist loadfile

.PHONY: bench test quick check benchmarks docs clean

bench: $(READY)
	$(VENV)/bin/python bench.py run suites/quick.toml

# What measures time runs alone, after the rest.
test: check
	$(PYTEST) $(PARALLEL) -m 'not timing'
	$(PYTEST) -m timing

quick: check
	$(PYTEST) $(PARALLEL) -m 'not build and not slow and not timing'

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

benchmarks: $(READY)
	$(VENV)/bin/python tests/benchmarks/overhead.py

# The reference tables in the documents, from the code.
docs: $(READY)
	$(VENV)/bin/python docs/tables.py

$(READY): $(NEEDS)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
