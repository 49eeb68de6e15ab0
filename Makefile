# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv/bin/python
WORKERS ?= 2  # of the tests, one thread each

.PHONY: demo test test-all mutation lint style bench clean

demo: .venv/installed  ## lip-sync a carried sample into demo/
	$(VENV) -m latentsync_core demo --out demo/out.mp4

test: .venv/installed style  ## everything that must hold before a commit
	$(VENV) -m pytest -n $(WORKERS) --dist loadfile

test-all: .venv/installed style  ## the slow tests too: full-size networks, long clips
	$(VENV) -m pytest -m "slow or not slow"

mutation: .venv/installed  ## which small changes of the engine's code do its tests not see?
	$(VENV) -m dev.mutation

style: .venv/installed
	$(VENV) -m ruff check .
	$(VENV) -m ruff format --check .

lint: style  ## types as well, which the tests check too
	$(VENV) -m basedpyright --pythonpath $(VENV)

bench: .venv/installed  ## the tables in benchmarks/README.md
	$(VENV) -m benchmarks.compositing
	$(VENV) -m benchmarks.encoders
	$(VENV) -m benchmarks.real_clip
	$(VENV) -m benchmarks.memory
	$(VENV) -m benchmarks.faces.films 1 2 3
	$(VENV) -m benchmarks.faces.speed
	$(VENV) -m benchmarks.faces.occlusion --scenes 12

clean:
	rm -rf .venv demo

.venv/installed: dev/install.py dev/requirements.lock
	$(PYTHON) dev/install.py
