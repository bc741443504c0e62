.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
ARGS ?=
export PYTHONDONTWRITEBYTECODE =  # tests start the service a hundred times: its modules are compiled once

.PHONY: help setup run demo test check check-clients soak chaos fuzz lint types contracts format bench lock clean

help: ## Explain the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## Make .venv with the maildelta command in it

run: .venv/ready ## Serve for real (settings: MAILDELTA_… or .env)
	@exec $(BIN)/maildelta serve $(ARGS)

demo: .venv/ready ## See it work beside a sample maildrop (ARGS=--once: end after the story)
	@exec $(BIN)/maildelta demo $(ARGS)

test: .venv/ready-dev ## Install what the tests need and run all of them
	@scripts/install-test-servers --with-browser --with-containers
	@$(BIN)/pytest --numprocesses auto --dist worksteal $(SELECTED) $(ARGS)

check: ## Exactly what CI runs
	@$(MAKE) --no-print-directory --jobs 2 .venv/ready-dev tests/clients/node_modules/.package-lock.json
	@$(MAKE) --no-print-directory lint contracts
	@$(MAKE) --no-print-directory --jobs 2 types test SELECTED='--override-ini "norecursedirs=.* node_modules"'

check-clients: .venv/ready-dev tests/clients/node_modules/.package-lock.json ## Lint the OpenAPI document and use generated clients
	@$(BIN)/pytest --numprocesses auto --dist loadfile tests/clients

soak: .venv/ready-dev ## Play the simulated maildrop for long (SIMULATOR_EXAMPLES=2000), and all of its cases on PostgreSQL
	@SIMULATOR_DATABASE=postgresql $(BIN)/pytest --timeout 0 --ignore tests/simulator/test_maildrop.py --ignore tests/simulator/test_further_habits.py tests/simulator $(ARGS)
	@SIMULATOR_EXAMPLES=$${SIMULATOR_EXAMPLES:-2000} $(BIN)/pytest --timeout 0 tests/simulator/test_maildrop.py tests/simulator/test_further_habits.py tests/simulator/test_moves.py $(ARGS)

chaos: .venv/ready-dev ## Play mail and faults for long (CHAOS_MINUTES=600 rounds, CHAOS_SEED)
	@CHAOS_MINUTES=$${CHAOS_MINUTES:-600} $(BIN)/pytest tests/chaos -k hour $(ARGS)

fuzz: .venv/ready-dev ## Try what must hold for any octets for long (FUZZ_SECONDS=300)
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-300} $(BIN)/pytest tests/fuzz $(ARGS)

lint: .venv/ready-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/hadolint Dockerfile

types: .venv/ready-dev
	@$(BIN)/mypy

contracts: .venv/ready-dev
	@$(BIN)/lint-imports

format: .venv/ready-dev ## Format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: .venv/ready-dev ## Measure beside mpop, fetchmail, getmail6 and poplib
	@scripts/install-bench-peers
	@$(BIN)/python -m benchmarks $(ARGS)

lock: .venv/ready-dev ## Make the locks anew (pyproject.toml, benchmarks/peers.in, tests/clients/package.json)
	@for pair in build:requirements.lock dev:requirements-dev.lock bench:requirements-bench.lock; do \
		$(BIN)/uv pip compile pyproject.toml --group $${pair%%:*} --output-file $${pair##*:} \
			--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet; done
	@$(BIN)/uv pip compile benchmarks/peers.in --output-file benchmarks/peers.lock \
		--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
	@scripts/lock-clients

clean: ## Remove what was made here
	rm -rf .venv tests/clients/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json
	@scripts/install-test-servers --with-browser --with-node
	@cd tests/clients && npm ci --silent
	@touch $@

.venv/ready: requirements.lock pyproject.toml
	@$(MAKE) --no-print-directory .venv/made
	@$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/ready-dev: requirements-dev.lock .venv/ready
	@$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

.venv/made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed." >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@
