# Each target does all that it needs, on a machine with Python 3.10 or newer
# and g++. VENV may name an environment that exists.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
STAMPS := build/stamps$(subst /,_,$(abspath $(VENV)))

# An environment holds one editable install: say whose place this one takes.
OTHER_CLONE = import importlib.metadata as m, json; \
  found = [d for d in m.distributions(name='mmvovnet')]; \
  urls = [json.loads(d.read_text('direct_url.json') or '{}').get('url') for d in found]; \
  [print('note: $(VENV) held mmvovnet of', u, 'and now holds this one') for u in urls if u and u != 'file://$(CURDIR)']

.PHONY: setup setup-3d demo demo-quick test test-all bench gpu-check docs lint types clean

setup: $(STAMPS)/setup

setup-3d: $(STAMPS)/setup-3d

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'Python 3.10 or newer is needed: make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo 'On Debian: apt-get install python3-venv python3-dev g++' >&2; exit 1; }

# What trains a detector. mmcv is built against torch; pip installs what does
# not depend on mmcv during the build.
$(STAMPS)/detection: $(PY) pyproject.toml constraints.txt tools/install_mmcv.py
	$(PIP) install --quiet --upgrade pip
	$(PIP) install --quiet -c constraints.txt torch torchvision setuptools wheel ninja
	@$(PY) -c "$(OTHER_CLONE)"
	$(PY) -c 'import mmcv.ops' 2>/dev/null || $(PY) tools/install_mmcv.py --wheel-only & \
	  $(PIP) install --quiet -c constraints.txt mmdet -e '.[demo,mim]' && wait $$!
	$(PY) tools/install_mmcv.py
	$(PIP) install --quiet -c constraints.txt -e '.[detection]'
	@mkdir -p $(@D) && touch $@

$(STAMPS)/setup: $(STAMPS)/detection
	$(PIP) install --quiet -c constraints.txt -e '.[detection,classification,segmentation,export,analysis,mim,dev]'
	@touch $@

# nuscenes-devkit asks for numpy 1 and works with 2, which torch has here.
$(STAMPS)/setup-3d: $(STAMPS)/setup
	$(PIP) install --quiet -c constraints.txt -e '.[detection3d]'
	$(PIP) install --quiet -c constraints.txt --no-deps mmdet3d nuscenes-devkit lyft-dataset-sdk
	$(PY) tools/check_stack.py
	@touch $@

$(STAMPS)/docs: $(STAMPS)/setup
	$(PIP) install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

demo: $(STAMPS)/detection
	$(PY) tools/demo.py

demo-quick: $(STAMPS)/detection
	$(PY) tools/demo.py --quick

# Two processes of one thread each: most of the time goes into building models.
test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -m 'not slow'

test-all: setup
	$(PY) -m pytest

bench: setup
	$(PY) tools/benchmark.py --quick

# Offline. WHEELS=FOLDER: what a bare machine with torch lacks.
gpu-check: $(if $(WHEELS),,setup)
	$(if $(WHEELS),$(PYTHON),$(PY)) tools/dev/gpu_check.py \
	  $(if $(WHEELS),--wheels $(WHEELS)) $(if $(REPORT),--out $(REPORT)) \
	  $(if $(STEPS),--steps $(STEPS))

docs: $(STAMPS)/docs
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

lint: setup
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m codespell_lib

types: setup
	$(PY) -m mypy

clean:
	rm -rf build dist work_dirs data docs/_build docs/_zoo .pytest_cache .ruff_cache
