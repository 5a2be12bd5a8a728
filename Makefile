# Every target does its own set-up and can be run again and again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: venv check test drill demo bench matrix outage fuzz clean

venv: $(STAMP)

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Dunlin needs python >= 3.11; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $(STAMP)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python starter.py strategy check policies/strategies/*.yaml
	$(BIN)/python starter.py dispositions check
	$(BIN)/python starter.py plan check policies/plans.yaml
	$(BIN)/python starter.py templates check
	$(BIN)/python starter.py rules list --json > /dev/null

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

drill: $(STAMP)
	$(BIN)/python -m tests.faults.drill

demo: $(STAMP)
	$(BIN)/python starter.py demo

bench: $(STAMP)
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.http_contact
	$(BIN)/python -m benchmarks.web

matrix: $(STAMP)
	$(BIN)/python -m tests.faults.matrix

outage: $(STAMP)
	OUTAGE_CASES=250 OUTAGE_SECONDS=60 $(BIN)/python -m pytest tests/web/test_outage.py --timeout=0 -s

fuzz: $(STAMP)
	FUZZ_EXAMPLES=10000 $(BIN)/python -m pytest tests/web/test_fuzz.py --timeout=0

clean:
	rm -rf $(VENV) .dunlin .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
