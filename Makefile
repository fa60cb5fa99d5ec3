# npvirt: `make run` and `make test` do all of their own set-up; the rest is for developers.
.DEFAULT_GOAL := help
.PHONY: help run demo test check lab bench faults soak lock words prove

PYTHON := .venv/bin/python

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: ## Install what is missing (no hypervisor) and serve on http://127.0.0.1:8040
	@.ci/setup run
	@exec .venv/bin/npvirt serve

demo: ## Install what is missing and serve a made-up fleet with a year of history
	@.ci/setup run
	@exec .venv/bin/npvirt demo $(ARGS)

test: ## Install what the tests need and run them
	@.ci/setup test
	@$(PYTHON) -m pytest -n 3 --dist loadgroup --no-loadscope-reorder $(ARGS)

check: ## Lint, format, types and the layers
	@.ci/setup test
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

lab: ## Start four real libvirt hosts on this machine and npvirt looking at them
	@.ci/setup lab
	@exec $(PYTHON) -m tests.lab $(ARGS)

bench: ## Print the benchmarks' figures
	@.ci/setup bench
	@$(PYTHON) -m tests.bench $(ARGS)

faults: ## Prove what is promised under faults (some minutes; part of make test)
	@.ci/setup test
	@$(PYTHON) -m tests.faults $(ARGS)

soak: ## The same at length (hours)
	@.ci/setup test
	@$(PYTHON) -m tests.faults --long $(ARGS)

lock: ## Make the lock files anew from pyproject.toml
	@.ci/lock

words: ## Gather the words of pages into app/translations, and compile these
	@.ci/setup test
	@$(PYTHON) -m tests.words

prove: ## Prove make run and make test in a clean Debian 12 chroot (root, debootstrap)
	@.ci/prove $(ARGS)
