# make demo, make test: all that they need is python3 with its venv module.
PYTHON ?= python3
VENV ?= .venv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
BIN := $(VENV)/bin
KODAK ?= kodak
CODECS := aic jpeg jpeg2000 webp avif avif-iq avif-iq-speed6 avif-iq-420 avif-iq-420-speed6 jpegxl heic
RATES := 0.1 0.25 0.5 1
QUALITIES := 30 40 50 60 69 75 80 90
PACKAGE := $(VENV)/.package-installed
TESTS := $(VENV)/.tests-installed

.PHONY: demo test bench lint clean

demo: $(PACKAGE)  ## compress the bundled photograph, look at demo/side-by-side.png
	$(BIN)/python docs/scripts/demo.py

# As many tests at a time as there are cores, each with one thread.
test: $(TESTS)  ## all tests but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

bench: $(TESTS)  ## the record in benchmarks/kodak: aic and its peers on the pictures of KODAK
	$(BIN)/aic bench "$(KODAK)" $(addprefix --codec ,$(CODECS)) --tune eye --tune psnr --tune ms-ssim \
		$(addprefix --rate ,$(RATES)) $(addprefix --quality ,$(QUALITIES)) \
		--metric ssimulacra2 --metric cvvdp \
		--commands --force --report demo/bench \
		--json benchmarks/kodak/results.json --plot benchmarks/kodak/results.png
	$(BIN)/python benchmarks/bd_rate.py benchmarks/kodak/results.json

lint: $(TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was made from, so the environment is made once. The package is
# installed in place: a change of its code needs no second installation.
$(PACKAGE): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("the pinned versions need Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { echo "on Debian: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install torch==2.13.0
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

$(TESTS): $(PACKAGE)
	$(BIN)/python -m pip install -c constraints.txt -e '.[test,train,geo,peers,cluster]'
	touch $@
