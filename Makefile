# The commands of the project. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE ?=
# What the tools need to load the settings; no server runs with these.
TOOLS := env -i PATH="$(PATH)" SECRET_KEY=only-for-tools ENVIRONMENT=development

.PHONY: help run demo screenshots test lint lock bench clean env test-deploy
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PacSync needs Python 3.11 or newer.")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(BIN)/python
	$(INSTALL) -r requirements.txt
	@touch $@

# It holds requirements.txt: one installation is enough, whichever comes first.
$(VENV)/.test: requirements-dev.txt | $(BIN)/python
	$(INSTALL) -r requirements-dev.txt
	@touch $(VENV)/.run $@

run: $(VENV)/.run ## the server on http://localhost:8080, with SQLite in data/
	@exec deploy/run.sh

demo: $(VENV)/.run ## a server with 200 made-up machines, to look at (ENDPOINTS=1000 for more); leaves nothing
	@exec $(BIN)/python -m demo $(if $(ENDPOINTS),--endpoints $(ENDPOINTS))

screenshots: $(VENV)/.test ## the README's pictures, from the demo (needs Chromium)
	$(BIN)/python -m tests.screenshots

test: $(VENV)/.test ## every test but test-deploy; ONLY="unit sqlite postgresql e2e alone" for parts, or a path
	@$(BIN)/python -I tests/__main__.py $(ONLY)

lint: $(VENV)/.test ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(TOOLS) $(BIN)/mypy
	$(TOOLS) $(BIN)/lint-imports

bench: $(VENV)/.test ## probes, faults and restarts beside plain peers (8 minutes; ONLY="throughput frozen" for parts)
	$(BIN)/python -m tests.bench $(ONLY)

lock: ## compile the ranges of pyproject.toml to requirements*.txt (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet -o requirements.txt
	uv pip compile pyproject.toml --extra dev -c requirements.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet -o requirements-dev.txt

env: ## write .env with new secrets, for the compose files
	@deploy/make-env.sh

test-deploy: $(VENV)/.test ## the deployment files, run for real (docker; without it the static part)
	@$(BIN)/python -I tests/__main__.py $(or $(ONLY),deploy)

clean: ## remove what was built (not data/)
	rm -rf $(VENV) build staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis
