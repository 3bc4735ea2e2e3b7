# Two commands matter to a newcomer: `make demo` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Terraform: the one on PATH, else a pinned one fetched into build/bin.
export PATH := $(CURDIR)/build/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE :=

# Many tests wait for processes and clocks: two workers more than there are cores.
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 2 )))

.PHONY: help setup demo test lint types imports terraform-check checkov unit alone bench validate lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

setup: $(STAMP) build/.terraform-ready ## Make the virtual environment and find (or fetch) Terraform

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is missing or older than Python 3.11; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "error: cannot make a virtual environment with $(PYTHON); install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "installing tailcast and what it needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cloud,dev]'
	@touch $@

build/.terraform-ready:
	@mkdir -p build/bin
	@command -v terraform >/dev/null || $(PYTHON) scripts/fetch_terraform.py --into build/bin
	@terraform version >/dev/null 2>&1 && touch $@

demo: setup ## The whole path once on this machine: deploy, record, forecast, shift, compare
	@$(BIN)/tailcast demo $(ARGS)

test: lint types imports terraform-check unit alone ## Everything that CI checks

lint: $(STAMP)
	@echo "== lint"; $(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)
	@echo "== types"; $(BIN)/mypy

imports: $(STAMP)
	@echo "== import rules"; $(BIN)/lint-imports --no-cache 2>&1 | tail -n 12

terraform-check: setup
	@echo "== terraform fmt, validate, test"; $(BIN)/python -m scripts.check_terraform

checkov: build/checkov/.ready ## Look for unsafe settings in terraform/ (checkov, in an environment of its own)
	@build/checkov/bin/checkov -d terraform --framework terraform --compact --quiet --skip-download

# Its pins of boto3 and others must not meet ours.
build/checkov/.ready:
	@echo "installing checkov into build/checkov ..."
	@$(PYTHON) -m venv build/checkov && build/checkov/bin/pip install --quiet --disable-pip-version-check 'checkov>=3.2,<4'
	@touch $@

unit: setup
	@echo "== engine (compiled once)"; $(BIN)/python -c 'from simulator.engine.compiled.warm import warm; warm()'
	@echo "== tests"; $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not alone" --cov --cov-report= $(ARGS)

# Load on a real clock, held against a forecast: nothing else may run meanwhile.
alone: setup
	@echo "== tests that need the machine to themselves"; $(BIN)/pytest -m alone --cov --cov-append --cov-report=term

bench: setup ## Run every benchmark, or one: make bench NAME=cloud
	@$(BIN)/python -m tests.bench $(NAME)

validate: setup ## Hold forecasts against the local cloud: make validate ARGS='--only quota --seed 7'
	@$(BIN)/tailcast validate $(ARGS)

lock: $(STAMP) ## Write constraints.txt anew from what pyproject.toml allows today
	@$(BIN)/python -m scripts.lock > constraints.tmp && mv constraints.tmp constraints.txt

clean: ## Remove what the above built (not the runs)
	@rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
