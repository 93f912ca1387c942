# Two commands for a newcomer: `make run` and `make test`. Everything else is a convenience.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Two processes test side by side: more would wait for memory, which TensorFlow takes per process.
PYTEST = $(BIN)/python -m pytest -n 2

.PHONY: run sample test test-browser test-slow lint bench models study clean

run: $(VENV)/.device
	$(BIN)/fluocount serve

sample: $(VENV)/.device
	$(BIN)/fluocount count device/samples --out out/sample

test: $(VENV)/.dev lint
	$(PYTEST) --dist loadfile --no-loadscope-reorder

test-browser: $(VENV)/.dev
	$(PYTEST) --dist loadfile -m "browser and not slow"

test-slow: $(VENV)/.dev
	$(PYTEST) --dist loadgroup -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/fluocount bench --reference --json

models: $(VENV)/.dev
	$(BIN)/fluocount-convert release fast
	$(BIN)/fluocount-convert release c-resunet
	$(BIN)/fluocount-convert release any

study: $(VENV)/.dev
	$(BIN)/fluocount-train study

$(VENV)/.device: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[device]'
	touch $@

$(VENV)/.dev: $(VENV)/.device
	./tests/install_browser.sh & browser=$$!; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' && wait $$browser
	touch $@

clean:
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache
