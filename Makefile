# make demo and make test are all the set-up there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test cover check bench soak fuzz clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -q tracer collectors reconstruct cli
	touch $@

demo: $(VENV)/.installed  ## run the bundled workflows, ingest what they wrote, report
	$(BIN)/clew demo

test: $(VENV)/.installed  ## every test, on as many processes as there are cores, up to four
	$(BIN)/python -m pytest -m 'not bench and not soak' -n auto --maxprocesses 4 --dist loadscope

cover: $(VENV)/.installed  ## every test in one process, and what of the code they ran
	$(BIN)/python -m coverage run -m pytest -m 'not bench and not soak'
	$(BIN)/python -m coverage report --skip-covered --skip-empty

check: $(VENV)/.installed  ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed  ## ratios, each measured in one run
	$(BIN)/python -m pytest -m bench -s -p no:randomly tests/benchmarks

soak: $(VENV)/.installed  ## minutes of kills and load
	$(BIN)/python -m pytest -m soak -s

FUZZ_SECONDS := 300
fuzz: $(VENV)/.installed  ## mutated inputs of all formats; FUZZ_SECONDS bounds it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz.fuzz -max_total_time=$(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) clew-demo .fuzz
