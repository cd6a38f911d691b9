# make help lists the targets.
SPARK ?= 4.0
ORDERS ?= 100000
SEED ?= 7
ENGINE ?= $(if $(filter 3.5,$(SPARK)),spark,sail)
VENV := $(if $(filter 3.5,$(SPARK)),.venv-spark35,.venv)
LOCK := requirements/$(if $(filter 3.5,$(SPARK)),spark35,spark40).txt
PYTHON_IN_VENV := $(VENV)/bin/python
# A run of under a minute ends before the second compiler pays: with the first alone 66 to 44 processor seconds.
SHORT_RUN := -XX:+UseParallelGC -XX:TieredStopAtLevel=1
PYTEST := $(PYTHON_IN_VENV) -m pytest -q --durations=10
# Two processes, each with files of its own, in the order of tests/conftest.py; on Spark with its groups of files.
PARALLEL := -n 2 --no-loadscope-reorder --dist loadfile
ON_SPARK := -n 2 --no-loadscope-reorder --dist loadgroup
# COVERAGE=yes adds what a lane covers to what the lanes before it covered; make coverage reports it.
COVER := $(if $(COVERAGE),--cov --cov-append --cov-report= --cov-fail-under=0)

.PHONY: help setup java run sample test test-unit test-sail test-spark coverage browser test-slow test-matrix test-35 test-connect lint format docs bench bench-load bench-segments bench-refresh dist clean lock

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: ## make the virtual environment from the lock (SPARK=4.0 or 3.5)
	@cmp -s $(LOCK) $(VENV)/.lock || scripts/setup.sh $(VENV) $(LOCK)

java: ## Java if there is none: for Spark on this machine, Sail needs none
	@scripts/java.sh

data/sample-$(ORDERS)-$(SEED).done: | setup
	@rm -rf data/sample
	@$(PYTHON_IN_VENV) jobs/sample_data.py --orders $(ORDERS) --seed $(SEED) --out data/sample
	@rm -f data/sample-*.done && touch $@

sample: data/sample-$(ORDERS)-$(SEED).done ## sample raw data and models in data/sample (ORDERS, SEED)

run: setup sample $(if $(filter spark,$(ENGINE)),java) ## the whole run on the sample data (ENGINE=sail or spark)
ifeq ($(ENGINE),spark)
	@BLITZ_VENV=$(VENV) ./spark-submit.sh --driver-java-options "$(SHORT_RUN)" jobs/run_all.py --conf conf/local.json
else
	@$(PYTHON_IN_VENV) jobs/run_all.py --conf conf/local.json
endif

test: test-unit test-sail ## the tests of every day: two to three minutes; test-spark and test-slow have the rest

test-unit: setup ## the unit lane: no engine, seconds
	$(PYTEST) $(PARALLEL) $(COVER) tests/unit

test-sail: setup java browser ## the other lanes on Sail, without what needs Spark
	BLITZ_TEST_ENGINE=sail $(PYTEST) $(PARALLEL) $(COVER) -m "not slow and not spark" tests/features tests/runs tests/crash

test-spark: setup java ## on Spark: what needs it, and what must be equal on both engines
	$(PYTEST) $(ON_SPARK) $(COVER) -m "not slow and (spark or engines)" tests/features tests/runs tests/crash

coverage: setup ## the branch coverage of lanes that ran with COVERAGE=yes; fails below the floor in pyproject.toml
	$(PYTHON_IN_VENV) -m coverage report

browser: ## Chromium for the report's test, where there is none
	@scripts/browser.sh

test-slow: setup java ## the long tests: kills, S3, Delta, load
	$(PYTEST) $(PARALLEL) -m slow tests/runs tests/crash

test-matrix: ## the whole-run test on Spark 3.5 and on Spark Connect, a refresh and tables of catalogs on 3.5
	@$(MAKE) --no-print-directory setup java SPARK=3.5
	@$(MAKE) --no-print-directory --jobs 2 --output-sync test-35 test-connect

test-35: setup java
	.venv-spark35/bin/python -m pytest -q --durations=10 tests/crash/test_run_on_catalogs.py tests/runs/test_whole_run.py tests/runs/test_refresh.py -k "test_runs_on_tables or test_whole_run or copied_once"

test-connect: setup java
	SPARK_REMOTE="local[2]" $(PYTEST) tests/runs/test_whole_run.py

lint: setup ## formatting, lint, types, import arrows
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONPATH=lib $(VENV)/bin/lint-imports

format: setup ## format the code, clear the notebooks' outputs
	$(PYTHON_IN_VENV) scripts/clear_notebooks.py notebooks/*.ipynb
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: setup ## write the column tables of docs/data.md again, from the code
	$(PYTHON_IN_VENV) scripts/docs_columns.py

bench: setup java ## measure against pandas and DuckDB (SIZES="500000 2000000")
	PYTHONPATH=lib $(PYTHON_IN_VENV) benchmarks/reading.py
	$(PYTHON_IN_VENV) benchmarks/commands.py
	$(PYTHON_IN_VENV) benchmarks/suppression.py --rounds 2
	$(PYTHON_IN_VENV) benchmarks/run.py $(SIZES)

bench-load: setup java ## the whole run with little memory, and over skewed data (ORDERS, 5,000,000 unless given)
	$(PYTHON_IN_VENV) benchmarks/load.py $(if $(filter file,$(origin ORDERS)),,$(ORDERS))

bench-segments: setup java ## segments and micro-segments of a million customers, and Python's share
	PYTHONPATH=lib $(PYTHON_IN_VENV) benchmarks/segments.py

bench-refresh: setup java ## a refresh with one new month beside the full run (ORDERS, 8,000,000 unless given)
	$(PYTHON_IN_VENV) benchmarks/refresh.py $(if $(filter file,$(origin ORDERS)),,$(ORDERS))

dist: setup ## the wheel, and the locked libraries without Spark as dist/environment.tar.gz
	@rm -rf dist build && mkdir -p dist
	$(PYTHON_IN_VENV) -m pip wheel --quiet --no-deps --wheel-dir dist .
	scripts/pack.sh $(LOCK) dist

lock: ## write the lock again from what is installed in the environment
	$(PYTHON_IN_VENV) -m pip freeze | grep -v -E '^(-e|blitz)' > $(LOCK)

clean: ## remove what was made, but for the environments
	rm -rf build dist data spark-warehouse .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
