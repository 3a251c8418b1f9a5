# `make demo` and `make test` are all a newcomer needs: each sets up .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_STORAGE ?= lth_storage

.PHONY: demo test test-slow test-browser test-cluster lint bench gpu chaos reference notebook site gallery reproductions clean

$(VENV)/.installed: pyproject.toml setup.py constraints.txt $(wildcard lth_ray/training/kernels/*.cpp lth_ray/training/kernels/*.h lth_ray/training/kernels/*/*.cpp lth_ray/training/kernels/*/*.h)
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 11), (3, 12)) else f"lth_ray needs Python 3.11 or 3.12, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python studies/digits.py --storage $(DEMO_STORAGE)

test: $(VENV)/.installed lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not gpu and not cluster and not browser'

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m 'not gpu and not cluster and not browser'

# MLflow's pages in a headless browser. For root, who is spared installing it; anybody else is told why it is skipped.
test-browser: $(VENV)/.installed
	command -v chromium > /dev/null || test "$$(id -u)" != 0 || ! command -v apt-get > /dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest -m browser tests/browser

# Hosts in network namespaces: for root, who is spared installing `ip`; anybody else is told why they are skipped.
test-cluster: $(VENV)/.installed
	command -v ip > /dev/null || test "$$(id -u)" != 0 || ! command -v apt-get > /dev/null || { apt-get update -qq && apt-get install -qq -y iproute2; }
	$(BIN)/python -m pytest -m cluster -s tests/cluster

# a hundred faults of all kinds, or LTH_RAY_CHAOS=N, under a fixed seed; ends by itself within 90 minutes
chaos: $(VENV)/.installed
	$(BIN)/python -m tests.chaos.run

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# docs/notebook.ipynb, run anew
notebook: $(VENV)/.installed
	$(BIN)/python docs/scripts/notebook.py

# docs/reference.md from the docstrings
reference: $(VENV)/.installed
	$(BIN)/python docs/scripts/reference.py

# The documents as pages with search: build/site/index.html
site: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/scripts/site.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/mkdocs.yml

# docs/gallery.md: its figures, captions and costs; an hour on two cores, or minutes where STORAGE has the runs
STORAGE ?= build/gallery
DATA_ROOT ?= data
gallery: $(VENV)/.installed
	$(BIN)/python docs/scripts/gallery.py $(STORAGE) --data-root $(DATA_ROOT)

# docs/reproductions.md: studies at the papers' full length, some 20 hours of one core; goes on where it was interrupted
reproductions: $(VENV)/.installed
	$(BIN)/python docs/scripts/reproductions.py $(STORAGE) --data-root $(DATA_ROOT)

# a quarter of an hour and 4 GB on two quiet cores; DATA_ROOT has MNIST, CIFAR-10 and JPEGs, or what needs them is skipped
bench: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks --json build/bench.json --data-root $(DATA_ROOT)

# Ten minutes of one GPU, by a PYTHON that has torch, torchvision and pytest: installs nothing, needs neither Ray nor
# MLflow. Each check and each file of tests/gpu has a process of its own; without a GPU it says so and ends well.
GPU_JSON ?= gpu.json
gpu:
	$(PYTHON) -m benchmarks.gpu --json $(GPU_JSON)

clean:
	rm -rf $(VENV) build *.egg-info
