# The same few commands for a person, for CI and for the pre-commit hooks. Needs make and Python 3.11 to 3.14, nothing else.
#
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made with. HOST, PORT, WORKERS, GATEWAY_CONFIG and every other setting of .env.example
# may stand on the command line too: make run PORT=9000

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install dev clients run test prove test-live check format lint types bench lock catalog clean

BOOTSTRAP := sh scripts/bootstrap.sh
PY := .venv/bin/python
CODE := app tests scripts

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: ## Make .venv, with what the gateway runs on
	@$(BOOTSTRAP) .venv requirements.txt

run: install ## Serve on 127.0.0.1:8000 (HOST, PORT, WORKERS, GATEWAY_CONFIG)
	@exec $(PY) -m app serve

dev: ## Make .venv, with what tests and checks need on top
	@$(BOOTSTRAP) .venv requirements.txt requirements-dev.txt

clients: ## Make .venv-clients, with the SDKs that contract tests drive
	@if [ -f requirements-clients.txt ]; then $(BOOTSTRAP) .venv-clients requirements-clients.txt; fi

test: dev clients ## Run every test, with the real servers that are found, and measure coverage
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal --cov=app --cov-report=term
	@$(PY) -m coverage report --include='app/policy/*,app/errors.py' --fail-under=100

prove: dev ## Show that nothing confidential leaks, as a table (docs/privacy.md; wants redis-server, takes under five minutes)
	@$(PY) scripts/prove.py

test-live: dev ## Run the tests that want a real Ollama, at OLLAMA_BASE_URL
	@if [ -z "$$OLLAMA_BASE_URL" ]; then echo "Set OLLAMA_BASE_URL to a running Ollama, such as http://127.0.0.1:11434" >&2; exit 1; fi
	@$(PY) -m pytest -m live

check: dev ## Check format, lint and types, then run the tests
	@$(PY) -m ruff format --check $(CODE)
	@$(MAKE) --no-print-directory lint types test

format: dev ## Write the code as the formatter has it, with the fixes that are safe
	@$(PY) -m ruff format $(CODE)
	@$(PY) -m ruff check --fix $(CODE)

lint: dev ## Check the code against pyproject.toml's rules
	@$(PY) -m ruff check $(CODE)

types: dev ## Check the types, strictly
	@$(PY) -m mypy $(CODE)

bench: dev ## Measure the gateway beside other relays, and draw the results (ARGS=--quick; needs wrk)
	@$(PY) -m benchmarks.run $(ARGS)
	@$(BOOTSTRAP) .venv-bench requirements-bench.txt
	@.venv-bench/bin/python benchmarks/plots.py

lock: dev ## Compile requirements*.txt from requirements/*.in, for every Python and platform (UPGRADE=1 takes newer versions)
	@$(PY) scripts/lock.py $(if $(UPGRADE),--upgrade)

catalog: dev ## Write what the installed LiteLLM knows of providers into app/providers/catalog.json
	@$(PY) scripts/make_catalog.py

clean: ## Remove the environments and everything else that was made here (not .env, not data/)
	rm -rf .venv .venv-clients .venv-bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find app tests scripts -name __pycache__ -prune -exec rm -rf {} +
