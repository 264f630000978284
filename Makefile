# Everything that a person or CI runs. `make demo` and `make test` set themselves up.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TORCH  := torch>=2.10,<2.14
OUT    ?= demo
FUZZ_SECONDS ?= 300
# Processes that share the tests; each keeps compiled kernels of its own (tests/conftest.py).
# `make test WORKERS=0` runs them in one process.
WORKERS ?= 2

# Machine code of the numba kernels is kept in the user cache, so that only the first call compiles.
export NUMBA_CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vesalius/numba
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test fuzz check lint format types floors spelling docstrings docs bench prove clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

# torch goes first and alone: pip then takes a local CPU build where there is one.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer must be on the PATH"; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

demo: $(READY) ## measure a real chest CT and write demo/report.html
	$(BIN)/vesalius demo --out "$(OUT)"

test: $(READY) ## run the whole suite
	$(BIN)/python -m pytest -q $(if $(filter-out 0,$(WORKERS)),-n $(WORKERS) --dist loadfile)

fuzz: $(READY) ## damage files for FUZZ_SECONDS and see what every reader does
	$(BIN)/python fuzz/run.py --seconds $(FUZZ_SECONDS)

check: lint types floors spelling docstrings docs ## everything that CI checks beside the tests

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## rewrite the files as ruff would have them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## mypy --strict
	$(BIN)/mypy --strict

floors: $(READY) ## import-linter: imports only go down
	$(BIN)/lint-imports

spelling: $(READY) ## codespell
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md src tests fuzz docs examples benchmarks

docstrings: $(READY) ## interrogate: every public name is documented
	$(BIN)/interrogate --quiet src

docs: $(READY) ## build the pages and run the gallery; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(READY) ## time beside the rivals (see benchmarks/RESULTS.md)
	@for script in benchmarks/ibsi.py benchmarks/bench_*.py; do \
		echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

prove: $(READY) ## the long statistical proofs
	@for script in benchmarks/prove_*.py; do \
		echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean: ## remove what was built; the environment stays
	rm -rf build dist docs/_build docs/gallery docs/reference/generated .mypy_cache .ruff_cache \
		.pytest_cache .hypothesis .import_linter_cache .benchmarks fuzz-found
