# One command for each thing a person does here; `make` alone lists them. Needs Python 3.11+ and GNU make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help install demo test test-long faults mutants bench bench-quick flame format lock clean python system-for-tests system-for-demo \
    node-red

PYTHON ?= python3
# Debian keeps mosquitto in /usr/sbin, which is not on everybody's PATH; the tests start it.
export PATH := $(PATH):/usr/sbin:/usr/local/sbin
BIN := .venv/bin
SYSTEM := deploy/system_packages.sh
# What the benchmarks compare with is installed beside .venv's own packages, which stay as the lock names them.
PEERS := .venv/bench
WITH_PEERS := PYTHONPATH=$(CURDIR)/$(PEERS)
NODE_RED := benchmarks/peers/node-red
# What is compiled when it is first imported, and cached.
KERNELS := arrhenius dwell kernels rings segments
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

bench: system-for-tests .venv/.warm .venv/.peers node-red ## throughput, answers, memory and restart against goals and other tools; writes docs/benchmarks.*
	$(WITH_PEERS) $(BIN)/pytest -q -rs -m peers tests/benchmarks
	$(WITH_PEERS) $(BIN)/python -m benchmarks

bench-quick: system-for-tests .venv/.warm .venv/.peers ## the same with a twentieth of the fleet and of the stored readings, and without Node-RED
	$(WITH_PEERS) $(BIN)/python -m benchmarks --quick

flame: system-for-tests .venv/.warm .venv/.peers ## where the service spends its time under load: docs/flame-ingest.svg; as root
	PATH="$(CURDIR)/$(PEERS)/bin:$$PATH" $(WITH_PEERS) $(BIN)/python -m benchmarks.flame

format: .venv/.warm ## rewrite the sources in the house format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: python ## resolve the dependencies anew into requirements.lock, and those of a gateway and of the benchmarks
	uv=$$(mktemp -d) && trap 'rm -rf "$$uv"' EXIT && \
	$(PYTHON) -m venv "$$uv" && "$$uv/bin/pip" -q --disable-pip-version-check install uv && \
	"$$uv/bin/uv" pip compile -q --system-certs --universal --generate-hashes --all-extras --group dev --no-annotate \
	    --upgrade pyproject.toml -o requirements.lock && \
	"$$uv/bin/uv" pip compile -q --system-certs --universal --generate-hashes --no-annotate \
	    --constraints requirements.lock pyproject.toml -o deploy/gateway/requirements.lock && \
	"$$uv/bin/uv" pip compile -q --system-certs --universal --generate-hashes --no-annotate \
	    --upgrade --constraints requirements.lock benchmarks/requirements.in -o benchmarks/requirements.lock

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

.venv/.warm: .venv/.installed $(KERNELS:%=coldchain/%.py)
	$(BIN)/python -c "import $(KERNELS:%=coldchain.%,) coldchain"
	@touch $@

# A peer that cannot be installed is no reason to measure nothing: its line in the table says that it is missing.
.venv/.peers: benchmarks/requirements.lock .venv/.locked
	@echo "installing what benchmarks/requirements.lock names into $(PEERS)"
	@rm -rf $(PEERS)
	@if $(BIN)/pip -q --disable-pip-version-check install --no-deps --require-hashes --only-binary :all: \
	    -r benchmarks/requirements.lock --target $(PEERS); then touch $@; \
	else rm -rf $(PEERS); echo "going on without polars, DuckDB, Bytewax and py-spy, which cannot be installed here" >&2; fi

node-red: .venv/.locked
	@$(SYSTEM) wanted $(PYTHON) node
	@cmp -s $(NODE_RED)/package-lock.json .venv/node-red/.installed || { \
	    echo "installing what $(NODE_RED)/package-lock.json names into .venv/node-red" && \
	    rm -rf .venv/node-red && mkdir -p .venv/node-red && \
	    cp $(NODE_RED)/package.json $(NODE_RED)/package-lock.json .venv/node-red && \
	    npm ci --prefix .venv/node-red --ignore-scripts --omit=optional --no-audit --no-fund >.venv/npm.log 2>&1 && \
	    cp $(NODE_RED)/package-lock.json .venv/node-red/.installed; } || { \
	    rm -rf .venv/node-red; echo "going on without Node-RED, which cannot be installed here: .venv/npm.log" >&2; }
