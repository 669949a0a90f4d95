# What people run from a checkout. Every target is one line of what it does; the work itself is in `oplake` and in tests/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# The first Python that fits; PYTHON=... chooses another.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c '$(FITS)' 2>/dev/null && echo $(p))))

LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed

.PHONY: help
help: ## Show this page
	@printf 'oplake: a lakehouse for the work of AI agents\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nState lives in data/, or in $$OPLAKE_HOME. The first target that needs it installs .venv; PYTHON=python3.12 chooses the interpreter.\n'

.PHONY: demo
demo: $(INSTALLED) ## Simulate a week of agent work, ingest it, compute every table, and show what was found
	@$(BIN)/oplake demo

.PHONY: ui
ui: $(INSTALLED) ## Open the Dagster UI with this project loaded, on loopback
	@$(BIN)/oplake ui

.PHONY: install
install: $(INSTALLED) ## Create .venv with the locked versions

.PHONY: test
test: $(INSTALLED) ## Run the whole suite (WORKERS=2 processes)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

.PHONY: test-fast
test-fast: $(INSTALLED) ## Run what takes less than a minute, for the working loop
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m 'not slow'

.PHONY: explore
explore: $(INSTALLED) ## Run the property tests with examples that no run has seen
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m hypothesis --hypothesis-profile explore

.PHONY: lint
lint: $(INSTALLED) ## Check style, types, SQL, and that the generated pages of docs/ are fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks docs/images
	$(BIN)/sqlfluff lint --processes 1 --disable-progress-bar sql docs/questions
	$(BIN)/oplake docs --check

.PHONY: format
format: $(INSTALLED) ## Put Python and SQL in shape, and write the generated pages of docs/ anew
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 1 --disable-progress-bar --quiet sql docs/questions
	$(BIN)/oplake docs

.PHONY: bench
bench: $(INSTALLED) ## Measure the ratios of benchmarks/ side by side and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

.PHONY: lock
lock: ## Write requirements.lock anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo 'make lock needs uv, for one lock that holds for Python 3.11 to 3.13.' >&2; exit 1; }
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-strip-extras --quiet -o requirements.lock

.PHONY: clean
clean: ## Remove what make can make again: .venv, caches, build and test output (data/ stays)
	rm -rf $(VENV) build dist artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCKED): requirements.lock
	@test -n '$(PYTHON)' || { echo 'oplake needs Python 3.11, 3.12 or 3.13, and none is on PATH. Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12' >&2; exit 1; }
	@'$(PYTHON)' -c '$(FITS)' || { echo "oplake needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $$('$(PYTHON)' --version 2>&1 || true). Name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || '$(PYTHON)' -m venv $(VENV) || { rm -rf $(VENV); echo 'Python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Installing the locked versions into $(VENV) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
