# gradscope: `make help` says what there is. Everything runs inside .venv, which is made on first use.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# In CI the slow tests run too; elsewhere they are left to `make test-all`.
MARKS  := $(if $(CI),not benchmark,not slow and not benchmark)
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

# What only tests against other frameworks need, in an environment apart. Where the index has PyTorch
# only with CUDA, name a build without: make test-frameworks TORCH='torch==2.13.0+cpu'.
FRAMEWORKS_VENV := .venv-frameworks
INTEGRATIONS_VENV := .venv-integrations
TORCH ?= torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-frameworks test-integrations fuzz lint types docs docs-check bench advice samples wheel check clean

help:  ## Say what there is.
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|' 2>/dev/null \
	  || grep -E '^[a-z-]+:.*## ' Makefile

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(READY)  ## The main job on tanh, sigmoid and a real series; pictures in demo/.
	@mkdir -p demo
	$(BIN)/gradscope analyze --activation tanh --steps 100 --png demo/tanh.png --force
	$(BIN)/gradscope compare --activation tanh,sigmoid --steps 10,50,100,200 --png demo/compare.png --force
	$(BIN)/gradscope analyze --data sample_runs/data/sunspots.csv --column SUNACTIVITY --steps 50 --png demo/sunspots.png --force
	@echo; echo "Pictures: demo/tanh.png demo/compare.png demo/sunspots.png"

test: $(READY)  ## Run the tests (in CI the slow ones too); the last lines say what was skipped.
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m '$(MARKS)'

test-all: $(READY)  ## Run the tests, the slow ones too.
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -m 'not benchmark'

test-frameworks: $(FRAMEWORKS_VENV)/.ready  ## Run the tests that need PyTorch, Keras, JAX or transformers, in an environment of their own.
	$(ONE_THREAD) KERAS_BACKEND=torch GRADSCOPE_REQUIRE="torch keras jax torchrecurrent flax equinox transformers" \
	  $(FRAMEWORKS_VENV)/bin/python -m pytest -n 2 -m 'not benchmark' $$(grep -rliE 'torch|keras|jax' tests --include='test_*.py')

$(FRAMEWORKS_VENV)/.ready: pyproject.toml
	@test -x $(FRAMEWORKS_VENV)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS_VENV)
	$(FRAMEWORKS_VENV)/bin/python -m pip install --quiet '$(TORCH)'
	$(FRAMEWORKS_VENV)/bin/python -m pip install --quiet --editable '.[dev,torch,keras,jax,cells,transformers]'
	@touch $@

test-integrations: $(INTEGRATIONS_VENV)/.ready  ## Run the callbacks and loggers for real, in an environment of their own.
	$(ONE_THREAD) GRADSCOPE_REQUIRE="torch lightning transformers accelerate optuna tensorboard wandb mlflow" \
	  $(INTEGRATIONS_VENV)/bin/python -m pytest -n 2 -m 'not benchmark' tests/integrations tests/torch/test_watch_instrument.py

$(INTEGRATIONS_VENV)/.ready: pyproject.toml
	@test -x $(INTEGRATIONS_VENV)/bin/python || $(PYTHON) -m venv $(INTEGRATIONS_VENV)
	$(INTEGRATIONS_VENV)/bin/python -m pip install --quiet '$(TORCH)'
	$(INTEGRATIONS_VENV)/bin/python -m pip install --quiet --editable '.[dev,integrations]'
	@touch $@

# Mutants of each kind of file, and the seed; `make fuzz N=1 KINDS=png:36` makes one again.
N     ?= 1000
SEED  ?= 12
fuzz: $(READY)  ## Damage every kind of file N times (N=1000), and say what then goes wrong.
	$(ONE_THREAD) $(BIN)/python -m tests.fuzz $(N) $(SEED) $(KINDS)

lint: $(READY)  ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Check types, strictly, in package and tests.
	$(BIN)/mypy

docs: $(READY)  ## Write the help pages into the README.
	$(BIN)/python -m tests.readme --write

docs-check: $(READY)  ## Check that the README's help pages are those of the commands.
	$(BIN)/python -m tests.readme

bench: $(READY)  ## Print the table of speed ratios; bench.json has the numbers.
	$(ONE_THREAD) $(BIN)/python -m tests.benchmarks --json bench.json

advice: $(READY)  ## Measure whether the advice is right; tests/benchmarks/advice/table.md has the numbers.
	$(ONE_THREAD) $(BIN)/python -m tests.benchmarks.advice

samples: $(READY)  ## Run every sample again.
	$(BIN)/python sample_runs/make_samples.py

wheel: $(READY)  ## Build the wheel into dist/.
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

check: lint types docs-check test  ## The one gate: style, types, documents, tests.

clean:  ## Remove what was built, the environment too.
	rm -rf $(VENV) $(FRAMEWORKS_VENV) $(INTEGRATIONS_VENV) build dist demo bench.json .pytest_cache .mypy_cache .ruff_cache .hypothesis
