# Two commands do everything on a fresh machine with Python >= 3.11, make and git:
#   make quickstart    install, then draw, check, train, evaluate, predict, report
#   make test          install what tests need, then lint, types, import contract, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SDK := $(VENV)-sdk
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install quickstart test check lint types imports docs bench clean

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Clary needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (some gigabytes, once) ..."
	$(PIP_INSTALL) --editable ".[all]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP_INSTALL) --editable ".[all,test]"
	@touch $@

# Clients that the platform is tested with. SDK v2 and v3 cannot share an environment.
$(SDK)/%/.installed: tests/sdk/%.txt
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@echo "installing $$(cat $<) into $(@D) ..."
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(SDK)/.installed: $(SDK)/cli/.installed $(SDK)/v2/.installed $(SDK)/v3/.installed
	@touch $@

install: $(VENV)/.installed ## install Clary into .venv

quickstart: install ## a trained, tested, reported classifier from nothing
	$(BIN)/clary quickstart

test: $(VENV)/.installed-test ## lint, types, import contract, all tests
	@$(MAKE) --no-print-directory --jobs 3 $(SDK)/.installed
	@$(MAKE) --no-print-directory lint types imports
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.installed-test ## the same without slow tests, while working
	@$(MAKE) --no-print-directory lint types imports
	$(BIN)/python -m pytest -m "not slow" -x

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
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) $(SDK) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
