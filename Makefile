# The two commands:  make run   and   make test.  `make help` lists the rest.
PYTHON ?= python3.11
CONFIG ?= configs/demo.yaml
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := requirements.lock
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(LOCK)

.DEFAULT_GOAL := help
.PHONY: help run test check-code unit coverage system-deps schema lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.runtime ## Set up all that is needed and run the monitor (CONFIG=my.yaml for another file)
	@if [ "$(CONFIG)" = configs/demo.yaml ]; then $(BIN)/python scripts/make_demo.py; fi
	@exec $(BIN)/python run_monitor.py run --config $(CONFIG)

test: check-code unit ## Set up all that is needed and run every quality gate and test

check-code: $(VENV)/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.all system-deps
	$(BIN)/python scripts/make_demo.py
	$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: ## Run the tests and tell which lines none of them reaches (slower by half)
	@$(MAKE) unit PYTEST_ARGS='--cov --cov-report=term'

system-deps: ## Install the servers that the tests start (Debian packages)
	@bash scripts/system-deps.sh

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on the PATH: install Python 3.11, or say make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot make a virtual environment: on Debian install python3.11-venv"; exit 1; }

$(VENV)/.runtime: pyproject.toml $(LOCK) | $(VENV)/bin/python
	@echo "Installing the runtime into $(VENV) (once; about a minute)"
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.all: pyproject.toml $(LOCK) | $(VENV)/bin/python
	@echo "Installing the runtime and the test tools into $(VENV) (once)"
	@$(PIP) -e '.[demo,training,onnx,test]'
	@touch $@ $(VENV)/.runtime

schema: $(VENV)/.runtime ## Write configs/monitor.schema.json anew
	$(BIN)/python run_monitor.py schema --output configs/monitor.schema.json

lock: $(VENV)/.all ## Pin what is installed now
	$(BIN)/python -m pip freeze --exclude-editable | grep -vE '^(pip|setuptools)==' > $(LOCK)

clean: ## Remove the environment and everything the monitor wrote
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
