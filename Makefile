# The commands of the project. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE ?=
# What the tools need to load the settings; no server runs with these.
TOOLS := env -i PATH="$(PATH)" SECRET_KEY=only-for-tools ENVIRONMENT=development

.PHONY: help run demo screenshots test lint lock bench clean env test-deploy test-cluster image sbom resolve
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes

$(BIN)/python:
	@$(PYTHON) deploy/supported_python.py
	$(PYTHON) -m venv $(VENV)

.PHONY: interpreter
interpreter: | $(BIN)/python
	@$(BIN)/python deploy/supported_python.py $(VENV)

$(VENV)/.run: requirements.txt | interpreter
	$(INSTALL) -r requirements.txt
	@touch $@

# requirements-dev.txt includes everything in requirements.txt, so this installation counts as both.
$(VENV)/.test: requirements-dev.txt | interpreter
	$(INSTALL) -r requirements-dev.txt
	@touch $(VENV)/.run $@

run: $(VENV)/.run ## start a server on http://localhost:8080, with SQLite in data/
	@exec deploy/run.sh

demo: $(VENV)/.run ## start a server with 200 made-up machines (ENDPOINTS=1000 for more); leaves nothing behind
	@exec $(BIN)/python -m demo $(if $(ENDPOINTS),--endpoints $(ENDPOINTS))

screenshots: $(VENV)/.test ## make the README's pictures from the demo (needs Chromium)
	$(BIN)/python -m tests.screenshots

test: $(VENV)/.test ## run all tests except test-deploy and test-cluster; ONLY="unit sqlite postgresql e2e alone" for parts, or ONLY=PATH
	@$(BIN)/python -I tests/__main__.py $(ONLY)

lint: $(VENV)/.test ## check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(TOOLS) $(BIN)/mypy
	$(TOOLS) $(BIN)/lint-imports

bench: $(VENV)/.test ## compare probes, faults, restarts and fleets with plain peers (25 min; ONLY="throughput lists" for parts, SIZES=100,1000)
	$(BIN)/python -m tests.bench $(ONLY) $(if $(SIZES),--sizes $(SIZES))

lock: $(VENV)/.test ## compile the ranges of pyproject.toml to requirements*.txt
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev -c requirements.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet -o requirements-dev.txt

# The versions of `requires-python`.
PYTHONS := 3.11 3.12 3.13 3.14
resolve: export UV_PYTHON_DOWNLOADS := never
resolve: $(VENV)/.test ## check that there are wheels of the pinned packages for each Python, on amd64 and arm64
	@for version in $(PYTHONS); do for machine in x86_64 aarch64; do echo "Python $$version, $$machine"; \
	  $(BIN)/uv pip install --quiet --dry-run --target build/nowhere --only-binary :all: --require-hashes \
	    --python-version $$version --python-platform $$machine-manylinux_2_28 -r requirements.txt || exit; done; done

image: ## build the image of the last commit, with labels (IMAGE=NAME for another name)
	@deploy/release/image.sh

SBOM ?= build/sbom.cdx.json
sbom: $(VENV)/.test ## write what is in the image to build/sbom.cdx.json (IMAGE=NAME for another image)
	@mkdir -p $(dir $(SBOM))
	$(BIN)/python deploy/release/sbom.py $(or $(IMAGE),pacman-sync-utility:latest) >$(SBOM).new
	@mv $(SBOM).new $(SBOM)

env: ## write .env with new secrets, for the compose files
	@deploy/make-env.sh

test-deploy: $(VENV)/.test ## test the deployment files in containers (without Docker only the static part); ALL=1 for the long tests too
	@$(BIN)/python -I tests/__main__.py $(or $(ONLY),$(if $(ALL),deploy-all,deploy))

test-cluster: $(VENV)/.test ## test the manifests in a Kubernetes cluster (CONTRIBUTING.md says in which); ALL=1 for the long tests too
	@$(BIN)/python -I tests/__main__.py $(or $(ONLY),$(if $(ALL),cluster-all cluster-ipv6,cluster))

clean: ## remove everything that was built, except data/
	rm -rf $(VENV) build staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis
