# `make help` lists the targets. Everything works from a bare Debian or Ubuntu with make and Python 3.11.
.DEFAULT_GOAL := help
.PHONY: dev demo test check fmt bench clean help

BIN := .venv/bin
CODE := hanse region federation client drivers tests scripts $(wildcard benchmarks)
ARGS ?=

dev: ## make .venv/bin/hanse and fetch etcd; quick when nothing changed
	@scripts/dev

demo: dev ## start a dev agent, run two jobs on it, show what happens, stop it all
	@scripts/demo $(ARGS)

test: dev ## run all tests, with a Docker engine started if none runs; ARGS="-k name" for some
	@scripts/test $(ARGS)

check: dev ## what must be clean before a commit: format, lint, import contracts, types
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/basedpyright

fmt: dev ## format, and mend what can be mended
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: dev ## run the benchmarks; figures with the machine's constants beside them
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what was built here; fetched things in the cache folder stay
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile
