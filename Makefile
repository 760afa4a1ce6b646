# make run: set up and run the demo study.  make test: set up and run every check.
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(shell $(p) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && command -v $(p))))
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
CORES ?= all
# two tests at a time, the longest files first and each file in one process, as its tests share what they set up
PARALLEL ?= -n 2 --dist loadfile
# Some machines forbid bytecode files; a hundred short jobs would then compile torch and pandas a hundred times.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup setup-analysis run published results-page site test test-all mutants lint types format lock clean
help:
	@echo "make run       set up .venv and run the demo study"
	@echo "make published  the study of published robustness, into results/published/"
	@echo "make test      set up .venv and run lint, types and tests"
	@echo "make test-all  the same and the tests that take long"
	@echo "make mutants   do the tests bite? 240 changed modules (half an hour; docs/mutants.md)"
	@echo "make setup-analysis  set up .venv for analysis-only studies: no PyTorch, an eighth of the size"
	@echo "make site      the documentation as a site, into site/"
	@echo "make setup | lint | types | format | lock | clean"

setup: $(VENV)/.complete

# The stamp is written last, so an interrupted installation starts again.
$(VENV)/.complete: requirements.lock pyproject.toml envs/quiet.pth
	@test -n "$(PYTHON)" || { echo "alignsec needs Python 3.11 or 3.12: install one, or make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	cp envs/quiet.pth $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	touch $@

# As constraints the lock gives versions and hashes of what is installed, and asks for nothing by itself.
setup-analysis:
	@test -n "$(PYTHON)" || { echo "alignsec needs Python 3.11 or 3.12: install one, or make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable .

# A killed run leaves its lock behind; this removes it, unless a run is alive here.
run: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/alignsec unlock
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) --resources gpu=$$($(BIN)/alignsec devices --jobs)

# Nothing is attacked; offline with ALIGNSEC_MIRROR.
published: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/alignsec unlock
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) --configfile config/published.yaml

# docs/results.md, its picture and its numbers, from a finished study of published robustness
results-page: published
	$(BIN)/alignsec report results --study results/published --out docs/results.md

# The documentation as a site, into site/; a warning is an error.
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/lint-imports --no-cache
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --lint

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

# the examples in docstrings are run apart: beside the tests, pytest would import every module of theirs
test: lint types
	$(BIN)/python -m pytest -q --doctest-modules src/alignsec
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: lint types
	$(BIN)/python -m pytest -q --doctest-modules src/alignsec
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(PARALLEL)

# Changes are made in a temporary copy; not part of CI.
mutants: setup
	$(BIN)/python -m benchmarks.mutants --report results/mutants.md

lock:
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --output-file requirements.lock

clean:
	rm -rf $(VENV) results .snakemake
