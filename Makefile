# Every target makes its own environment first. Only Python ≥ 3.11 with venv is needed; Ray comes from the lock.
PY := .venv/bin/python
.PHONY: environment run test test-fast check lock format bench docs clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

environment:  ## the virtual environment, from requirements.lock
	@bash scripts/environment

run: environment  ## the main job: a local Ray cluster runs a job
	@bash scripts/run

test-fast: environment  ## pure tests, under a minute
	$(PY) -m pytest -n auto --maxprocesses=4 -m "not local and not cluster and not api" tests

test: environment  ## all tests that need no root, real Ray included
	$(PY) -m pytest -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder --durations=20 -m "not cluster and not api" tests

check: environment  ## ruff, mypy --strict, import-linter
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	MYPYPATH=src:tests/kit:tests/cluster .venv/bin/mypy bench
	.venv/bin/lint-imports

format: environment  ## let ruff rewrite
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: environment  ## the tables of bench/
	$(PY) bench/speed.py

lock:  ## renew requirements.lock (needs uv)
	uv pip compile -q pyproject.toml --extra local --group dev --generate-hashes --no-header --no-emit-index-url --python-version 3.11 -o requirements.lock

-include testcluster/targets.mk
