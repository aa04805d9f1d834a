# Two commands are enough: `make up` starts a whole fabric, `make test` tests it. The rest is for those who change it.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE ?= 1
.DEFAULT_GOAL := help
.PHONY: help up down status test lint fuzz bench-attestation bench-keys bench-disks clean lock

help:            ## Show the targets
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

up:              ## Prepare the machine, start everything, create a shielded VM (MODE=tpm, ad or host-key)
	@$(PYTHON) portal/embedded/preflight.py up
	@$(BIN)/python -m portal.embedded up
	@$(BIN)/python -m tenants.firstrun

down:            ## Stop what `make up` started
	@test ! -x $(BIN)/python || $(BIN)/python -m portal.embedded down

status:          ## Show the processes and where to sign in
	@$(BIN)/python -m portal.embedded status

test:            ## Prepare the machine, run every test
	@$(PYTHON) portal/embedded/preflight.py test
	@$(BIN)/python -m pytest -n 2 $(ARGS)

lint:            ## Style, types, import rules, templates, migrations
	@$(PYTHON) portal/embedded/preflight.py test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -m django makemigrations --check --dry-run

fuzz:            ## Fuzz every parser (SECONDS=60 each, NAMES= to choose)
	@$(PYTHON) portal/embedded/preflight.py test
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r tests/fuzz/requirements.lock
	@$(BIN)/python -m tests.fuzz $(or $(SECONDS),60) $(NAMES)

bench-attestation: ## Measure how fast HGS attests hosts
	@$(PYTHON) portal/embedded/preflight.py test
	@$(BIN)/python -m bench.attestation $(ARGS)

bench-keys:      ## Measure how fast HGS releases keys, and what the key log costs as it grows
	@$(PYTHON) portal/embedded/preflight.py test
	@$(BIN)/python -m bench.keys $(ARGS)

bench-disks:     ## Measure how fast disks are hashed and VMs made, beside the tools one would take instead
	@$(PYTHON) portal/embedded/preflight.py test
	@$(BIN)/python -m bench.disks $(ARGS)

clean: down      ## Remove var/ and .venv
	rm -rf var .venv

lock:            ## Renew requirements.lock (hashes, no addresses)
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-annotate --no-header --upgrade -q \
	  --extra embedded --group dev pyproject.toml -o requirements.lock
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-annotate --no-header -q \
	  --constraint requirements.lock --extra ad pyproject.toml -o portal/embedded/requirements-ad.lock
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-annotate --no-header -q \
	  --constraint requirements.lock --group fuzz -o tests/fuzz/requirements.lock
