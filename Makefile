# Each target is a line or two; `make` alone lists them.
PYTHON := .venv/bin/python
# Each worker has an embedded AWS of its own; both share the engine.
WORKERS := --numprocesses 2 --dist loadfile
# Bytecode is kept: without it each worker spends seconds on rewriting the asserts of two hundred files.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast check bench bench-quick clean requirements

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## the virtual environment, and a Docker engine that answers
	@scripts/setup.sh

demo: setup ## images built, the workflow run on reads, a VCF and a report in results/
	@$(PYTHON) build.py demo

test: setup check ## every test, the linters first
	@$(PYTHON) build.py build && $(PYTHON) -m pytest $(WORKERS)

test-fast: ## the tests that need no Docker engine
	@scripts/setup.sh python
	@$(PYTHON) -m pytest $(WORKERS) -m "not engine"

check: setup ## ruff, mypy, cfn-lint, shellcheck, and what makes the checkers of templates ready
	@scripts/setup.sh checkers
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy
	@for folder in $(dir $(wildcard images/*/commands.py)); do \
	    MYPYPATH=images/base:$$folder:$${folder}aligner $(PYTHON) -m mypy --cache-dir .mypy_cache/$$folder $$folder || exit; \
	done
	@.venv/bin/cfn-lint stack/*.yaml
	@if command -v shellcheck > /dev/null; then shellcheck -x .ci/run scripts/*.sh images/base/assemble benchmarks/*/*.sh; fi

bench: setup ## what is fast, measured side by side: on a quiet machine; writes the README's figures
	@$(PYTHON) build.py build && $(PYTHON) benchmarks/run.py

bench-quick: setup ## the same on a small genome, once; prints only
	@$(PYTHON) build.py build && $(PYTHON) benchmarks/run.py --quick

requirements: setup ## compile requirements/*.txt anew from pyproject.toml
	@$(PYTHON) -m pip install --quiet uv && scripts/compile-requirements.sh $(PYTHON)

clean: ## the engine that setup started, and everything that was made here
	@scripts/setup.sh stop && rm -rf .venv .venv-checkov .cache dist results
