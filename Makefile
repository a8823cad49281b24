# Everything a change must pass, in the order that fails fastest; PYTHON names the environment to use.
PYTHON ?= python

.PHONY: check format test slow

check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as c; c()"
	$(PYTHON) -m pytest -n 2

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

test:
	$(PYTHON) -m pytest -n 2

slow:
	$(PYTHON) -m pytest -m slow
