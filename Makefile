# Everything a change must pass, in the order that fails fastest; PYTHON names the environment to use.
PYTHON ?= python
VENV ?= .venv

LOWEST ?= .venv-lowest

.PHONY: ci lowest check format test slow mutants coverage scores

ci:  ## set up an environment and run every check in it
	@echo "installing sepcli, torch and what checks them into $(VENV): 2 GB, or 6 GB where torch comes with CUDA"
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(MAKE) check PYTHON=$(VENV)/bin/python

lowest:  ## the tests with the lowest versions that pyproject.toml allows; needs uv, and 6 GB, nearly all of it torch
	uv venv --python 3.11 $(LOWEST)
	uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[test]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n 2

check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as lint; lint()"
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

test:
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2

slow:
	$(PYTHON) -m pytest -m slow

mutants:  ## change the code in small ways, see docs/testing.md; MODULES='chunking speakers' for some
	$(PYTHON) tools/mutants.py $(MODULES)

# what a separation does not pass through
OTHER_WORK = sepcli/training/*,sepcli/evaluation/*,sepcli/models/onnx*.py,sepcli/cli/bench.py,sepcli/cli/download.py,sepcli/cli/evaluate.py,sepcli/cli/export.py,sepcli/cli/info.py,sepcli/cli/mix.py,sepcli/cli/train.py

# statements and branches of a report on stdin; fails where too few branches are covered [%]
BRANCHES = import json, sys; t = json.load(sys.stdin)["totals"]; \
  a, b = t["covered_branches"], t["num_branches"]; c, d = t["covered_lines"], t["num_statements"]; \
  print(f"statements {100 * c / d:.2f} %, branches {100 * a / b:.2f} % ({a} of {b})"); \
  sys.exit(100 * a / b < float(sys.argv[1]))

coverage:  ## by branch: the path of a separation at 95 %, the whole package at 90 %
	$(PYTHON) -m pytest -n 2 --cov --cov-branch --cov-report=
	$(PYTHON) -m coverage report --skip-covered
	$(PYTHON) -m coverage json --quiet -o - | $(PYTHON) -c '$(BRANCHES)' 90
	$(PYTHON) -m coverage json --quiet -o - --omit='$(OTHER_WORK)' | $(PYTHON) -c '$(BRANCHES)' 95

SPEECH ?= ../shared/speech
DEV_MIX = $(PYTHON) -m sepcli mix $(SPEECH)/dev --sample-rate 16000 --level-db 5 --seed 1
DEV_PAIRS = $(DEV_MIX) --min-seconds 4 --max-seconds 8

scores:  ## of the networks inside the package on speakers they never heard; NAMES for some of them
	rm -rf scores
	$(DEV_PAIRS) -n 200 -o scores/clean
	$(DEV_PAIRS) -n 100 -o scores/noisy --noise $(SPEECH)/robust/noise --snr-db 0 20
	$(DEV_PAIRS) -n 100 -o scores/room --rooms $(SPEECH)/robust/rir
	$(DEV_MIX) -n 30 -o scores/conversation --style conversation --overlap-ratio 0.25 --max-seconds 60
	$(DEV_PAIRS) -n 50 -o scores/alone --speakers 1
	$(PYTHON) benchmarks/shipped.py scores scores $(SPEECH) $(NAMES)
	$(PYTHON) tools/tables.py
