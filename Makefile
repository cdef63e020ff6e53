# Everything a newcomer types. `make help` lists it; scripts/ does it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help demo psql stop test test-pg16 soak check fmt install clean distclean need-pg-config
.PHONY: bootstrap bootstrap-check

help: ## List the targets
	@echo "Onyx: source code as a graph inside PostgreSQL"
	@echo
	@sed -nE 's/^([a-z][a-z0-9-]*):.*## (.*)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "%-21s %s\n", $$1, $$2 }'
	@echo "  make bench-NAME     Run a benchmark, e.g. bench-ingest, bench-embed, bench-graph"
	@echo "  make eval-NAME      Run an evaluation, e.g. eval-search"
	@echo
	@echo "What these need is installed by themselves. All but Debian packages goes below"
	@echo "ONYX_HOME: /var/cache/onyx for root, ~/.cache/onyx for anyone else."

demo: bootstrap ## Build, start PostgreSQL 18 with Onyx, ingest two packages, ask questions
	@scripts/demo

psql: bootstrap ## A session on the demo cluster
	@scripts/demo psql

stop: ## Stop the demo cluster
	@scripts/demo stop

test: bootstrap ## Run the tests, on PostgreSQL 18
	@scripts/test

soak: bootstrap ## Kill things at random moments and at every named step: ROUNDS=200 STEPS=all
	@scripts/test soak

test-pg16: bootstrap ## Run the smoke tests on PostgreSQL 16
	@scripts/test pg16

check: bootstrap-check ## The gate: format, lints, documentation, dependency rules, tests
	@scripts/check

fmt: ## Format the sources
	@cargo fmt --all

install: need-pg-config bootstrap ## Install into your server: make install PG_CONFIG=...
	@scripts/install "$(PG_CONFIG)"

need-pg-config:
	@test -n "$(PG_CONFIG)" || { echo "make install: say into which server, as in" \
		"make install PG_CONFIG=/usr/lib/postgresql/18/bin/pg_config" >&2; exit 1; }

clean: ## Delete the demo cluster and this project's build products, not the downloads
	@scripts/clean

distclean: ## Delete everything below ONYX_HOME
	@scripts/clean all

bench-%: bootstrap
	@scripts/bench $@

eval-%: bootstrap
	@scripts/bench $@

bootstrap:
	@scripts/bootstrap

bootstrap-check:
	@scripts/bootstrap check
