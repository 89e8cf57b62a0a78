# `make` alone explains itself. Python 3.11 or newer and make are all that must be there.

PYTHON ?= python3
PORT ?= 8000
MINUTES ?= 30
ARGS ?=

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
RUFF := $(PY) -m ruff
LINT_IMPORTS := $(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
UV := $(PY) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
	--no-emit-index-url --no-emit-find-links

TOO_OLD := needs Python 3.11 or newer. Install a newer one and name it: make PYTHON=python3.12 ...
NO_VENV := has no working 'venv' module. Install it (Debian, Ubuntu: apt install python3-venv) and try again.

.DEFAULT_GOAL := help
.PHONY: help install install-dev venv run test check format drill soak bench bench-queue bench-send screenshots lock clean

help: ## Show this list
	@echo "make run starts smsqueue here; make test runs every test. All targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Settings: PYTHON=$(PYTHON)  PORT=$(PORT)  MINUTES=$(MINUTES)  ARGS= (more arguments for test, drill, soak and bench)"

# A copy of the lock in .venv says that it has been installed: unchanged, nothing asks the network.
define install
	@cmp -s $(1) .venv/$(1) || { \
	  echo "Installing what $(1) lists into .venv (this needs the network, once) ..."; \
	  $(PIP) install --quiet --require-hashes -r $(1) && cp $(2) .venv/; \
	}
endef

install: venv ## Build .venv from requirements.lock, to run smsqueue
	$(call install,requirements.lock,requirements.lock)

install-dev: venv ## Build .venv from requirements-dev.lock, to change smsqueue
	$(call install,requirements-dev.lock,requirements.lock requirements-dev.lock)

# The checkout itself is put on the path by a file, so that nothing has to be built.
venv:
	@$(PY) -c "import pip" 2>/dev/null || { \
	  $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "smsqueue $(TOO_OLD)"; exit 1; }; \
	  $(PYTHON) -c "import venv, ensurepip" 2>/dev/null || { echo "$(PYTHON) $(NO_VENV)"; exit 1; }; \
	  $(PYTHON) -m venv --clear .venv || { echo "$(PYTHON) $(NO_VENV)"; exit 1; }; \
	  for packages in .venv/lib/python3.*/site-packages; do echo ../../../.. > $$packages/smsqueue.pth; done; \
	}

run: install ## Start everything for trying it out: web, worker and a simulated outside world
	@exec $(PY) -m flask sms demo --port $(PORT)

test: install-dev ## Run every test but the drills
	@exec $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: install-dev ## Check format, lint, types and import contracts
	$(RUFF) format --check .
	$(RUFF) check .
	$(PY) -m mypy
	@$(LINT_IMPORTS)

format: install-dev ## Format the code and mend what lint can mend
	$(RUFF) check --fix .
	$(RUFF) format .

drill: install-dev ## Run the drills: kill, stop and starve real processes for minutes
	@exec $(PY) -m pytest -m drill -s --timeout 1200 $(ARGS)

soak: install-dev ## Keep the queue busy for MINUTES, with kills, freezes and restarts; ARGS="--on sqlite"
	@exec $(PY) -m tests.soak --minutes $(MINUTES) $(ARGS)

bench: install-dev ## Measure; the last line is RESULT {...}
	@exec $(PY) -m tests.bench $(ARGS)

bench-send: install-dev .venv-bench/requirements-bench.lock ## Measure sending beside bare clients; ends with RESULT {...}
	@exec $(PY) -m tests.bench.send $(ARGS)

bench-queue: install-dev .venv-bench/requirements-bench.lock ## Measure the queue beside others; ends with RESULT {...}
	@exec $(PY) -m tests.bench.queue $(ARGS)

# The others' packages stay out of .venv: what is measured beside them is what people run.
.venv-bench/requirements-bench.lock: requirements-bench.lock
	@echo "Installing what requirements-bench.lock lists into .venv-bench (this needs the network, once) ..."
	@$(PY) -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r $<
	@cp $< $@

screenshots: install-dev ## Take the README's picture anew, of a campaign that is being sent
	@exec $(PY) -m tests.screenshots

lock: install-dev ## Renew the locks to the newest versions that pyproject.toml allows
	$(UV) --upgrade pyproject.toml --extra mysql -o requirements.lock
	$(UV) --upgrade pyproject.toml --extra mysql --extra dev -c requirements.lock -o requirements-dev.lock
	$(UV) --upgrade --group bench -o requirements-bench.lock

clean: ## Remove .venv, .venv-bench and what the tools have kept; instance/ stays
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info htmlcov
