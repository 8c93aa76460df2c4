# `make help` lists what can be made. Nothing but Python 3.11 and make has to be there.
# PYTHON=/path/to/python3 names the Python to use, ARGS="..." is handed on to the command.

.NOTPARALLEL:
.PHONY: help demo up test test-all check bench screenshots translations locks

export PYTHON
unexport PYTHONPATH PYTHONHOME

PY := .venv/bin/python
RUN := requirements.lock requirements/data.lock
INSTALL := @sh requirements/install.sh

help:
	@echo "make demo          the whole job on real input: installs, runs, shows"
	@echo "make up            serves Horizon until Ctrl-C"
	@echo "make test          the quick tests, on a real PostgreSQL   (ARGS=\"-k edge\")"
	@echo "make test-all      the slow ones too"
	@echo "make check         ruff, mypy, import contracts, and that every test can be imported"
	@echo "make bench         figures: ARGS=\"score --quick\""
	@echo "make screenshots   takes every committed picture anew"
	@echo "make translations  brings the pages' catalogues up to date and compiles them"
	@echo "make locks         writes the locks from pyproject.toml    (ARGS=--upgrade)"

demo:
	$(INSTALL) $(RUN)
	@.venv/bin/horizon demo $(ARGS)

up:
	$(INSTALL) $(RUN)
	@.venv/bin/horizon up $(ARGS)

# A worker a processor, each with a PostgreSQL of its own; ARGS="-n 0 --pdb" debugs without.
test:
	$(INSTALL) $(RUN) requirements/test.lock
	@sh requirements/system.sh chromium openssl
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

# MARKERS=slow leaves the quick ones out.
test-all:
	$(INSTALL) $(RUN) requirements/test.lock
	@sh requirements/system.sh chromium openssl postgresql-15 postfix promtool
	@sh requirements/search-servers.sh
	@sh requirements/s3-server.sh
	@sh requirements/sdks.sh
	@sh requirements/spark.sh
	@$(PY) -m pytest -m "$(MARKERS)" $(ARGS)

check:
	$(INSTALL) $(RUN) requirements/test.lock
	@echo "ruff check" && $(PY) -m ruff check --quiet
	@echo "ruff format" && $(PY) -m ruff format --check --quiet
	@echo "mypy --strict" && $(PY) -m mypy --no-error-summary
	@echo "tests import" && $(PY) -m pytest -m "" --collect-only -qq >.venv/tests.txt || { grep -v "^[a-z/_0-9]*.py: [0-9]*$$" .venv/tests.txt; false; }
	@echo "import contracts" && $(PY) -c "from importlinter.cli import lint_imports_command; \
		lint_imports_command(['--no-logo'])" >.venv/contracts.txt || { cat .venv/contracts.txt; false; }

bench:
	$(INSTALL) $(RUN)
	@$(PY) -m bench $(ARGS)

screenshots:
	$(INSTALL) $(RUN) requirements/test.lock
	@CI=true sh requirements/system.sh chromium
	@$(PY) -m tests.screenshots $(ARGS)

translations:
	$(INSTALL) $(RUN) requirements/test.lock
	@$(PY) -m tests.translations

locks:
	$(INSTALL) requirements/locks.lock
	@sh requirements/locks.sh $(ARGS)
