# `make bench` runs the main job, `make test` all checks. Either sets up its environment itself.
PYTHON ?= python3
VENV := .venv
# One call of pip resolves everything, so that no package can undo another's choice.
READY := $(VENV)/.ready
NEEDS := pyproject.toml constraints.txt

.PHONY: bench test check benchmarks clean

bench: $(READY)
	$(VENV)/bin/python bench.py run suites/quick.toml

test: check
	$(VENV)/bin/python -m pytest

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

benchmarks: $(READY)
	$(VENV)/bin/python tests/benchmarks/overhead.py

$(READY): $(NEEDS)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
