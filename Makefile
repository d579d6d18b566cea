# Everything runs from a checkout with Python 3.11 or 3.12: `make demo` and `make test` set up what they need.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.corkboard
# the sample with trained models, for the benchmarks that want a workspace
BENCH := $(CURDIR)/build/bench

.PHONY: setup demo test lint bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "expected Python 3.11 or 3.12, found " + sys.version.split()[0] + "; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,redis]'
	touch $(STAMP)

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" bash data/demo.sh

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	test -d $(BENCH)/reports/evaluation || CORKBOARD_WORKSPACE=$(BENCH) $(MAKE) demo
	missed=; for file in benchmarks/[a-z]*.py; do name=$$(basename $$file .py); \
		CORKBOARD_WORKSPACE=$(BENCH) $(BIN)/python -m benchmarks.$$name --json || missed="$$missed $$name"; done; \
		test -z "$$missed" || { echo "missed a mark or failed:$$missed"; exit 1; }

# the sample's workspace alone: data/workspace is every command's default, and may hold a catalogue of yours
clean:
	rm -rf build
	@if grep -qs '"format": "sample"' data/workspace/workspace*.json; then rm -rf data/workspace; \
		elif test -d data/workspace; then echo "data/workspace stays: it is not the sample's"; fi
