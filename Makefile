PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 3

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

PIP := $(BIN)/pip --disable-pip-version-check

# Exactly what the lock holds: nothing is resolved, so no later release can change it.
LOCKED := $(VENV)/.locked

$(LOCKED): requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "milesync needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

$(STAMP): $(LOCKED) pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	$(PIP) check
	@touch $@

.PHONY: install
install: $(STAMP) ## Make the virtual environment with everything that is pinned

.PHONY: demo
demo: $(STAMP) ## Migrate about 300 milestones between two sandbox servers, and prove it
	$(BIN)/milesync demo

.PHONY: test
test: $(STAMP) ## Run all tests
	$(BIN)/pytest -n $(WORKERS)

.PHONY: coverage
coverage: $(STAMP) ## Run all tests and measure the branch coverage, which takes half as long again
	$(BIN)/coverage erase
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report=
	$(BIN)/coverage report --skip-covered
	$(BIN)/coverage report --include='mappings/*,worker/sync/*' --fail-under=98 --format=total

.PHONY: package
package: $(STAMP) ## Build the wheel and replay the Dockerfile; run both without the dev group
	$(BIN)/pytest -n $(WORKERS) --dist=loadgroup -m packaging tests/packaging

LOWEST := $(VENV)-lowest

.PHONY: lowest
lowest: $(STAMP) ## Run the tests with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear $(LOWEST)
	$(BIN)/uv pip compile pyproject.toml --quiet --resolution lowest-direct --no-header \
		--annotation-style line | grep 'via.* milesync' > $(LOWEST)/lowest.txt
	$(BIN)/uv pip compile pyproject.toml --quiet --group dev --constraints $(LOWEST)/lowest.txt \
		--no-header --output-file $(LOWEST)/all.txt
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $(LOWEST)/all.txt
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(LOWEST)/bin/pytest -n $(WORKERS) --ignore tests/packaging

.PHONY: soak
soak: $(STAMP) ## Run the long variants of the proofs
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest -n $(WORKERS) -m soak --timeout=3600

.PHONY: check
check: $(STAMP) ## Lint, format, types, imports, unused dependencies and the documents' links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: site
site: $(STAMP) ## Show the documents as a site, on http://127.0.0.1:8001
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

.PHONY: mutants
mutants: $(STAMP) ## Mutation check of the decisions (hours); MUTANTS='…' tries a part of them
	nice -n 10 $(BIN)/mutmut run --max-children 1 $(MUTANTS)
	$(BIN)/mutmut results

.PHONY: bench
bench: $(STAMP) ## Measure everything, as tables and as .bench/*.json (twenty minutes); BENCH='scale' a part, PEERS=1
	@PEERS=$(PEERS) $(BIN)/python -m benchmarks.everything .bench $(BENCH)

.PHONY: format
format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header

.PHONY: lock
lock: $(LOCKED) ## Pin the dependencies anew, with hashes and without addresses
	$(LOCK) --upgrade --group build --output-file requirements.lock
	$(LOCK) --upgrade --group dev --constraints requirements.lock --output-file requirements-dev.lock

.PHONY: clean
clean: ## Remove what can be made again
	rm -rf $(VENV) $(LOWEST) .bench .site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* mutants
