# Every target works from a fresh clone: what it needs is installed first. `make help` lists them.

.POSIX:
.DEFAULT_GOAL := help
PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
CODE = crm_master connectors mappings dags examples bench tests
LOCKS = requirements.lock requirements-bootstrap.lock bench/requirements.lock \
	examples/peers/tryton.lock examples/peers/mailman.lock examples/peers/node.lock examples/peers/redis.lock \
	docker/requirements.lock examples/peers/npm/*/package-lock.json
PEERS = tryton mailman postgres redis vendure backoffice
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --no-emit-index-url --no-emit-find-links

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: venv
venv: $(STAMP) ## Install Concord and its pinned dependencies into .venv

$(STAMP): pyproject.toml requirements.lock requirements-bootstrap.lock
	@echo "== environment"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
		--config-setting editable_mode=compat -e .
	@touch $(STAMP)

.PHONY: lock
lock: $(STAMP) ## Resolve all dependencies anew into the lock files
	$(COMPILE) --extra dev --extra cluster pyproject.toml -o requirements.lock
	$(COMPILE) --extra cluster -c requirements.lock pyproject.toml -o docker/requirements.lock
	$(COMPILE) examples/peers/tryton.in -o examples/peers/tryton.lock
	$(COMPILE) --override examples/peers/mailman.overrides examples/peers/mailman.in -o examples/peers/mailman.lock
	$(COMPILE) examples/peers/node.in -o examples/peers/node.lock
	$(COMPILE) --no-deps examples/peers/redis.in -o examples/peers/redis.lock
	$(COMPILE) bench/requirements.in -o bench/requirements.lock
	$(BIN)/python -m examples.peers.node
	@$(MAKE) check-locks

.PHONY: check
check: $(STAMP) check-locks ## Lint, formatting, types, import arrows, lock files, generated pages, docs; runs no tests
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy $(CODE)
	@echo "== import-linter"
	@$(BIN)/lint-imports
	@echo "== generated pages"
	@$(BIN)/python docs/generate.py --check
	@$(MAKE) --no-print-directory docs

.PHONY: docs
docs: $(STAMP) ## The documentation as a site in build/site; a link that leads nowhere is a mistake
	@echo "== docs"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: check-locks
check-locks: # Lock files name versions and hashes, never where to download from
	@echo "== lock files"
	@! grep -nE '://|^ *(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)|file:' $(LOCKS) \
		|| { echo "A lock file holds an address: make lock writes it without."; exit 1; }

.PHONY: peers
peers: $(STAMP) ## Install the real systems that tests and demo run against
	@echo "== peers: $(PEERS)"
	@$(BIN)/python -m examples.peers install $(PEERS)

PYTEST = $(BIN)/python -m pytest -m "not debian"
REAL = tests/integration tests/peers tests/e2e

.PHONY: test
test: $(STAMP) peers ## All tests that need no root: those on real systems beside the others
	@echo "== tests"
	@$(if $(ARGS),exec $(PYTEST) $(ARGS);) \
	$(PYTEST) $(REAL) >$(VENV)/real.log 2>&1 & real=$$!; trap 'kill $$real 2>/dev/null || :' EXIT; \
	failed=0; $(PYTEST) $(REAL:%=--ignore=%) || failed=1; \
	echo "== tests on real systems"; wait $$real || failed=1; cat $(VENV)/real.log; exit $$failed

HISTORIES = 2000
SEED = 1
KIND = customers

# The order of sets differs from process to process else, and a seed would not play the same history again.
.PHONY: soak
soak: $(STAMP) ## Thousands of random histories: make soak HISTORIES=10000 SEED=7, also of KIND=trade
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.properties.soak --kind $(KIND) --histories $(HISTORIES) --seed $(SEED)

ROWS = 1000000
DATABASE = sqlite

.PHONY: soak-crashes
soak-crashes: $(STAMP) peers ## A process killed at every boundary, on SQLite and on PostgreSQL
	@$(BIN)/python -m tests.crash
	@$(BIN)/python -m tests.crash --postgres

.PHONY: soak-rows
soak-rows: $(STAMP) ## A sync of very many rows, with poison, in little memory: make soak-rows ROWS=100000
	@$(BIN)/python -m bench.rows --rows $(ROWS) --database $(DATABASE)

YARDSTICKS = .bench/.installed
BENCH =

$(YARDSTICKS): $(STAMP) bench/requirements.lock
	@echo "== yardsticks"
	test -x .bench/bin/python || $(PYTHON) -m venv .bench
	$(BIN)/uv pip sync --quiet --python .bench/bin/python --require-hashes bench/requirements.lock
	@touch $(YARDSTICKS)

.PHONY: bench
bench: $(YARDSTICKS) ## What Concord costs beside dlt and airbyte-cdk: make bench BENCH="--only reading"
	@$(BIN)/python -m examples.peers install postgres
	@$(BIN)/python -m bench $(BENCH)

.PHONY: test-debian
test-debian: $(STAMP) ## Tests against Debian's own packages; needs root
	@test "$$(id -u)" = 0 || { echo "make test-debian installs packages: run it as root."; exit 1; }
	apt-get update -qq
	printf 'sympa %s\n' 'sympa/dbconfig-install boolean true' 'sympa/database-type select sqlite3' \
		'sympa/hostname string lists.example.org' 'sympa/listmaster string listmaster@lists.example.org' \
		'sympa/use_soap boolean true' 'wwsympa/webserver_type select Other' | debconf-set-selections
	echo 'request-tracker5 request-tracker5/dbconfig-install boolean false' | debconf-set-selections
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql php-cli php-soap \
		dbconfig-sqlite3 sympa lighttpd libsoap-lite-perl libfcgi-perl libdbd-sqlite3-perl \
		request-tracker5 rt5-db-sqlite rt5-standalone
	@$(BIN)/python -m pytest -m debian $(ARGS)

.PHONY: demo
demo: $(STAMP) peers ## One customer in four real systems: an order, a complaint, a conflict
	@$(BIN)/python -m examples.demo

.PHONY: up
up: $(STAMP) peers ## Airflow with Concord's DAGs on this machine, until Ctrl-C
	@$(BIN)/python -m examples.demo.up

.PHONY: down
down: # There is nothing to do: Ctrl-C in `make up` stops and removes everything
	@echo "Ctrl-C where make up runs stops everything; nothing is left behind."

.PHONY: clean
clean: ## Remove what the targets made
	rm -rf $(VENV) .bench .peers .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build
	rm -rf *.egg-info
