PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: $(STAMP) ## Make the virtual environment with everything that is pinned

.PHONY: demo
demo: $(STAMP) ## Migrate about 300 milestones between two sandbox servers, and prove it
	$(BIN)/milesync demo

.PHONY: test
test: $(STAMP) ## Run all tests, with branch coverage
	$(BIN)/coverage erase
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report=
	$(BIN)/coverage report --skip-covered
	$(BIN)/coverage report --include='mappings/*,worker/sync/*' --fail-under=95 --format=total

.PHONY: soak
soak: $(STAMP) ## Run the long variants of the proofs
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest -n $(WORKERS) -m soak --timeout=3600

.PHONY: check
check: $(STAMP) ## Lint, format, types, imports and unused dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

.PHONY: mutants
mutants: $(STAMP) ## Mutation check of the decisions (long)
	$(BIN)/mutmut run
	$(BIN)/mutmut results

.PHONY: bench
bench: $(STAMP) ## Print the benchmarks' figures
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script; done

.PHONY: format
format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(STAMP) ## Pin the dependencies anew, with hashes and without addresses
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --output-file requirements.lock

.PHONY: clean
clean: ## Remove what can be made again
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* mutants
