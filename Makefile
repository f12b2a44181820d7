# `make chat` and `make test` set up .venv by themselves; GNU make 3.81 is enough.

SHELL := /bin/bash
BIN := .venv/bin
KERNELS := $(wildcard hatch_build.py metal_kernels/cpu/*)

.PHONY: help chat test test-slow test-metal test-sanitizers check fix docs lock bench wheel clean

help:
	@echo 'make chat        talk to the bundled model (sets everything up first)'
	@echo 'make test        the tests that every change must pass'
	@echo 'make test-slow   the tests that take minutes'
	@echo 'make test-metal  the tests that need an Apple GPU'
	@echo 'make test-sanitizers  the CPU kernels under address, undefined behaviour and thread sanitizers'
	@echo 'make check       formatting, lint and types'
	@echo 'make fix         format and repair what can be repaired'
	@echo 'make docs        renew the references in docs/: commands, compatibility, roofline'
	@echo 'make bench       speed of the bundled model, or MODEL=...'
	@echo 'make wheel       build wheel and sdist, install them elsewhere, try them'
	@echo 'make lock        renew the lock files; UPGRADE=--upgrade for newer versions'

chat: .venv/.ready
	@$(BIN)/localllm chat $(MODEL)

test: .venv/.ready-dev
	$(BIN)/pytest $(ARGS)

test-slow: .venv/.ready-dev
	$(BIN)/pytest -m 'slow and not metal' $(ARGS)

test-metal: .venv/.ready-dev  # MLX would otherwise shorten float32 factors to 19 bits on an M5
	MLX_ENABLE_TF32=0 $(BIN)/pytest -m metal $(ARGS)

test-sanitizers: .venv/.ready-dev
	$(BIN)/pytest -m slow tests/metal_kernels/test_sanitizers.py $(ARGS)

check: .venv/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: .venv/.ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.ready-dev
	$(BIN)/python scripts/write_command_reference.py
	$(BIN)/python scripts/roofline.py
	$(BIN)/python scripts/write_compatibility_table.py

bench: .venv/.ready
	@$(BIN)/localllm bench $(or $(MODEL),pocket) $(ARGS)

wheel: .venv/.ready-dev
	scripts/check_wheel

lock: .venv/.ready-dev
	scripts/lock $(UPGRADE)

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache

.venv/.ready: requirements.lock pyproject.toml scripts/set_up_environment $(KERNELS)
	@scripts/set_up_environment requirements.lock
	@touch $@

.venv/.ready-dev: requirements-dev.lock pyproject.toml scripts/set_up_environment $(KERNELS)
	@scripts/set_up_environment requirements-dev.lock
	@touch $@ .venv/.ready
