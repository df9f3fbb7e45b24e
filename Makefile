# Two commands do everything on a fresh machine with Python >= 3.11, make and git:
#   make quickstart    install, then draw, check, train, evaluate, predict, report
#   make test          what CI runs: install what tests need, then lint, types, import contract, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Files in the order of tests/conftest.py, which begins with the longest.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install install-test clients environments quickstart test tests check long storm lint types imports docs bench clean clean-clients

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

# Pip is the last that a new virtual environment gets.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clary needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing into $(VENV) (some gigabytes, once) ..."
	$(PIP_INSTALL) --editable ".[all]"
	@touch $@

# Not on top of the other: pip would work out twice what fits together.
$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing into $(VENV) (some gigabytes, once) ..."
	$(PIP_INSTALL) --editable ".[all,test]"
	@touch $(VENV)/.installed $@

install: $(VENV)/.installed ## install Clary into .venv

install-test: $(VENV)/.installed-test

tests: $(VENV)/.installed-test
	$(PYTEST) $(PYTEST_OPTIONS)

clients: | $(BIN)/pip ## environments of AWS clients for the tests, shared by all clones on this machine
	@$(BIN)/python tests/sdk/clients.py make

# Tests find it there under the same name (tests/toolkit/tensorflow_environment.py).
environments: export CLARY_ENVIRONMENTS := $(or $(CLARY_TEST_ENVIRONMENTS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/clary/environments)
environments: $(VENV)/.installed-test ## TensorFlow for the tests, shared by all clones with the same packages
	@$(BIN)/clary environments make tensorflow 2.8 >/dev/null

quickstart: install ## a trained, tested, reported classifier from nothing
	$(BIN)/clary quickstart

test: ## lint, types, import contract, tests; what CI runs, with the minutes of each
	@VENV=$(VENV) .ci/test

check: $(VENV)/.installed-test ## the same without slow tests, while working
	@$(MAKE) --no-print-directory lint types imports
	$(PYTEST) -m "not slow and not long" -x

long: $(VENV)/.installed-test ## tests that need longer than CI has; writes docs/long.md
	$(BIN)/python .ci/long.py

storm: $(VENV)/.installed-test ## hostile requests and files, kills, a full disk: MINUTES=60 SEED=any ONLY=all
	$(BIN)/python -m tests.storm --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

imports: $(VENV)/.installed-test
	$(BIN)/lint-imports

docs: $(VENV)/.installed-test ## write the generated reference pages
	$(BIN)/python -m docs.generate

bench: $(VENV)/.installed-test ## the benchmarks of docs/benchmarks.md
	$(PIP_INSTALL) --editable ".[all,test,bench]"
	for script in $(filter-out benchmarks/two_checkouts.py,$(wildcard benchmarks/[a-z]*.py)); do $(BIN)/python $$script || exit 1; done

clean: ## delete what tools left in this clone
	rm -rf $(VENV) .ci/minutes .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

clean-clients: ## delete the environments of AWS clients, those of other clones too
	$(PYTHON) tests/sdk/clients.py remove
