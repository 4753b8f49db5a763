# One command for each thing a person does here; `make` alone lists them. Needs Python 3.11+ and GNU make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help install demo test test-long faults mutants bench bench-quick format lock clean python system-for-tests system-for-demo

PYTHON ?= python3
# Debian keeps mosquitto in /usr/sbin, which is not on everybody's PATH; the tests start it.
export PATH := $(PATH):/usr/sbin:/usr/local/sbin
BIN := .venv/bin
SYSTEM := deploy/system_packages.sh
# The decision core: small enough to run again uncompiled, and compiled with every array index checked.
CORE_TESTS := tests/test_kernels.py tests/test_history.py tests/test_exposure.py tests/test_stability.py tests/test_pipeline.py

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

install: .venv/.warm ## .venv with the package, editable, all extras
	@echo "coldchain is installed: $(BIN)/coldchain --help"

demo: system-for-demo .venv/.warm ## a scripted day: broker, gateways, service, one report
	$(BIN)/coldchain demo

test: system-for-tests .venv/.warm ## format, lint, types, import contracts, every test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -q --hypothesis-profile=quick $(CORE_TESTS)
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/.venv/checked-kernels $(BIN)/pytest -q --hypothesis-profile=quick $(CORE_TESTS)

test-long: system-for-tests .venv/.warm ## the long property runs, some minutes
	$(BIN)/pytest -m long

faults: system-for-tests .venv/.warm ## the fault tests with their full numbers, into docs/fault-report.md; as root, half an hour
	PYTHONPATH=.:tests $(BIN)/python -m faults.command

mutants: .venv/.warm ## does a test fail for every small change of the rules' code? some minutes
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/python tests/mutants.py

bench: .venv/.warm ## throughput, memory and restart against other ways and against goals, in one run
	$(BIN)/python -m benchmarks

bench-quick: .venv/.warm ## the same with a twentieth of the fleet and of the stored readings
	$(BIN)/python -m benchmarks --quick

format: .venv/.warm ## rewrite the sources in the house format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: python ## resolve the dependencies anew into requirements.lock, and those of a gateway
	uv=$$(mktemp -d) && trap 'rm -rf "$$uv"' EXIT && \
	$(PYTHON) -m venv "$$uv" && "$$uv/bin/pip" -q --disable-pip-version-check install uv && \
	"$$uv/bin/uv" pip compile -q --system-certs --universal --generate-hashes --all-extras --group dev --no-annotate \
	    --upgrade pyproject.toml -o requirements.lock && \
	"$$uv/bin/uv" pip compile -q --system-certs --universal --generate-hashes --no-annotate \
	    --constraints requirements.lock pyproject.toml -o deploy/gateway/requirements.lock

clean: ## remove everything that the commands above made
	rm -rf .venv demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "coldchain needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }

system-for-tests: python
	@$(SYSTEM) required $(PYTHON) print broker timeseries

system-for-demo: python
	@$(SYSTEM) wanted $(PYTHON) print broker

# Each stamp is newer than what it was made from, so a step is repeated only when that changes.
.venv/.locked: requirements.lock | python
	@$(SYSTEM) required $(PYTHON) venv
	@echo "installing what requirements.lock names into .venv; this takes a minute or two"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip -q --disable-pip-version-check install --require-hashes -r requirements.lock
	@touch $@

.venv/.installed: .venv/.locked pyproject.toml
	$(BIN)/pip -q --disable-pip-version-check install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.warm: .venv/.installed coldchain/kernels.py coldchain/arrhenius.py
	$(BIN)/python -c "import coldchain.kernels, coldchain.arrhenius"
	@touch $@
