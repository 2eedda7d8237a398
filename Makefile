# `make help` lists all there is to know.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_FOLDERS := tests/better_auth tests/client examples/frontend

.DEFAULT_GOAL := help
.PHONY: help run frontend superuser test check lint types schema browser pictures fuzz faults pooled bench requirements licences sbom audit clean

help:  ## List the commands
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/run.stamp .env  ## Serve on http://127.0.0.1:8000 (HOST and PORT change it), with SQLite and fresh secrets
	@echo "Preparing the database and starting ..."
	@$(BIN)/python manage.py serve

frontend: node20 $(VENV)/run.stamp .env  ## The API with a frontend to copy from, on http://localhost:5173 (needs Node)
	@$(call npm_ci,examples/frontend)
	@cd examples/frontend && npm run --silent types >/dev/null
	@exec node examples/frontend/dev.mjs

superuser: $(VENV)/run.stamp .env  ## Make an operator for /admin/
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py createsuperuser

EVERYDAY := not browser and not fuzz and not faults

test: $(VENV)/dev.stamp node  ## Everything a newcomer should see pass: SQLite, PostgreSQL, Better Auth where Node is
	$(BIN)/python -m pytest -m "$(EVERYDAY)"
	$(BIN)/python -m tests.postgres $(BIN)/python -m pytest -m "$(EVERYDAY) and not documents"
	TEST_STATEMENTS_BY_CURSOR=true $(BIN)/python -m tests.postgres $(BIN)/python -m pytest -q tasks

# Seconds each: real key servers, subprocesses, races, thousands of pages.
SLOW := $(addprefix --ignore ,$(addprefix todo_project/tests/test_,better_auth.py database.py jwks.py settings.py) \
	$(addprefix tasks/tests/test_,admin_odd_requests.py pages_stay_put.py concurrency.py))

check: $(VENV)/dev.stamp lint types quick  ## The everyday part, in under a minute: lint, types, the quick tests on SQLite

.PHONY: quick
quick:
	$(BIN)/python -m pytest -q tasks todo_project $(SLOW)

lint: $(VENV)/dev.stamp  ## Style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp  ## mypy
	$(BIN)/mypy

schema: $(VENV)/dev.stamp .env  ## Write the OpenAPI document anew
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file specs/002-backend-foundation/contracts/openapi.yaml

browser: $(VENV)/dev.stamp node  ## The pages and the frontend in a real Chromium
	$(BIN)/python -m tests.postgres $(BIN)/python -m pytest -m browser

PICTURES := frontend-list-1280-light frontend-list-390-dark frontend-conflict-1280-light site-admin-user-light-1280

pictures: $(VENV)/dev.stamp node  ## Take the pictures in docs/pictures anew
	SHOTS=tmp/pictures $(BIN)/python -m pytest -q -m browser tests/test_frontend.py tests/test_site_pages.py -k "every_screen or admins_pages"
	mkdir -p docs/pictures
	cp $(PICTURES:%=tmp/pictures/%.png) docs/pictures

fuzz: $(VENV)/dev.stamp  ## schemathesis against the running server
	$(BIN)/python -m tests.postgres $(BIN)/python -m pytest -m fuzz

faults: $(VENV)/dev.stamp  ## The fault table: what is lost when databases, workers, networks and disks fail under load (nothing)
	$(BIN)/python -m tests.postgres $(BIN)/python -m pytest -m faults

pooled: $(VENV)/dev.stamp node  ## The running service behind PgBouncer in transaction mode
	$(BIN)/python -m tests.pgbouncer $(BIN)/python -m pytest -q tests/test_live.py tests/test_manners_live.py \
		tests/test_end_to_end.py tasks/tests/test_conditions.py tasks/tests/test_idempotency.py tasks/tests/test_concurrency.py

bench: $(VENV)/dev.stamp  ## Compare with the peers: EdDSA tokens, a million tasks, 25 minutes on two quiet cores
	$(BIN)/python -m benchmarks

requirements: $(VENV)/supply/bin/python  ## Pin requirements*.in and all they bring along, with hashes
	for name in requirements requirements-dev; do \
		$(VENV)/supply/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--custom-compile-command "make requirements" --output-file $$name.txt $$name.in || exit 1; \
	done

licences: $(VENV)/run.stamp $(VENV)/supply/bin/python  ## The licence of each package that is installed
	@$(VENV)/supply/bin/pip-licenses --python $(BIN)/python --from mixed

sbom: $(VENV)/supply/bin/python  ## Write sbom.json, a CycloneDX list of what the service runs with
	@$(VENV)/supply/bin/cyclonedx-py requirements requirements.txt --output-file sbom.json

audit: $(VENV)/supply/bin/python  ## Ask the network for known holes in what the service runs with
	$(VENV)/supply/bin/pip-audit --require-hashes --disable-pip --requirement requirements.txt

clean:  ## Remove what the commands above installed; your data and .env stay
	rm -rf $(VENV) $(NODE_FOLDERS:=/node_modules) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- What the commands above need -------------------------------------------------------------------------------

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing what the service needs; the first time this can take a minute ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@echo "Installing what the tests need ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# They look at what is installed, and are not among it.
$(VENV)/supply/bin/python: | $(VENV)/bin/python
	@$(BIN)/python -m venv $(VENV)/supply
	@$(VENV)/supply/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 pip-audit==2.10.1 pip-licenses==5.5.5 \
		cyclonedx-bom==7.5.0

# Written whole or not at all, and readable by its owner alone. A .env that is there is left as it is.
.env:
	@umask 077 && $(PYTHON) -c 'import secrets; print("\n".join(["DATABASE_URL=sqlite:///db.sqlite3", \
		"BETTER_AUTH_SECRET=" + secrets.token_urlsafe(32), "DJANGO_SECRET_KEY=" + secrets.token_urlsafe(48), \
		"DJANGO_ALLOWED_HOSTS=localhost,127.0.0.1,[::1]", \
		"CORS_ALLOWED_ORIGINS=" + ",".join(f"http://{host}:{port}" for port in (3000, 5173) \
		for host in ("localhost", "127.0.0.1"))]))' > .env.new && mv .env.new .env
	@echo "Wrote .env with fresh secrets."

# npm ci in a folder whose packages are missing or older than its lock file.
npm_ci = [ $(1)/node_modules/.package-lock.json -nt $(1)/package-lock.json ] || \
	{ echo "Installing what $(1) needs ..." && (cd $(1) && npm ci --silent --no-audit --no-fund); }

# As Vite has it.
SUPPORTED_NODE := const [major, minor] = process.versions.node.split(".").map(Number); \
	process.exit(major > 22 || (major === 22 && minor > 11) || (major === 20 && minor > 18) ? 0 : 1)

.PHONY: node20
node20:
	@command -v npm >/dev/null && node -e '$(SUPPORTED_NODE)' || \
		{ echo "Node 20.19, 22.12 or newer is needed, with npm: https://nodejs.org"; exit 1; }

.PHONY: node
node:
	@if command -v npm >/dev/null && node -e 'process.exit(+(parseInt(process.versions.node) < 20))'; then \
		for folder in $(NODE_FOLDERS); do $(call npm_ci,$$folder) || exit 1; done; \
	else echo "No Node 20 or newer: the tests against a real Better Auth server, and of the clients in Node, will be skipped."; fi
