# demo: see it work · check: the quick loop · test: everything that must hold · soak: long counts · bench: figures
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
LOCK := --generate-hashes --no-emit-index-url --no-header --python-version 3.11

.PHONY: help demo check test soak bench generate suffix-list wheel wheel-demo lock system clean

help:
	@echo "make demo      a dozen invented mails through a real gateway on loopback, with the verdicts"
	@echo "make check     format, lint, types, layer contracts, quick tests (under 60 s)"
	@echo "make test      everything that must hold, with real daemons (installs what is missing when it may)"
	@echo "make soak      the long counts          make bench   speed and memory against the baseline"
	@echo "make generate  example settings, reference pages, rule index"
	@echo "make wheel     the installable package  make lock    pin the dependencies anew"

# The virtual environment, from hashes; on a bare Debian as root, python3-venv is installed first.
$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || bash .ci/system-packages python3-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages into .venv (once)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	@$(BIN)/insurer-milter demo

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 2 -m "not daemons and not slow and not soak"

system:
	@bash .ci/system-packages

test: $(STAMP) system
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 2 -m "not daemons and not soak"
	$(BIN)/python -m pytest -q -m "daemons and not soak"
	@$(MAKE) --no-print-directory wheel-demo

# The built wheel, installed elsewhere, runs the demo too.
wheel-demo: $(STAMP)
	@bash .ci/wheel-demo

soak: $(STAMP) system
	$(BIN)/python -m pytest -q -m soak --timeout 3600

bench: $(STAMP)
	$(BIN)/python -m bench.proxy
	$(BIN)/python -m bench.workers
	$(BIN)/python -m bench.reload --reloads 100

generate: $(STAMP)
	$(BIN)/python -m tests.generate

# A newer public suffix list comes with a newer package `publicsuffixlist` (make lock).
suffix-list: $(STAMP)
	$(BIN)/python -m tests.refresh_suffix_list

wheel: $(STAMP)
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel -d dist

lock:
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile pyproject.toml --upgrade --group dev $(LOCK) -o requirements-dev.lock
	$(PYTHON) -m uv pip compile pyproject.toml $(LOCK) -c requirements-dev.lock -o requirements.lock

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
