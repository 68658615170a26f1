# Everything sets itself up: nothing is needed beforehand but Python 3.11 or newer, a C++20
# compiler and make. The rest goes into .venv, at the versions in requirements/constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
CONSTRAINTS := requirements/constraints.txt
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip
INSTALL := $(PIP) install -qq --constraint $(CONSTRAINTS)

# The C++ core is built again when one of these changes.
NATIVE_SOURCES := $(shell find native -type f 2>/dev/null) $(wildcard CMakeLists.txt) pyproject.toml
NATIVE_CODE := $(filter %.cpp %.hpp %.h,$(NATIVE_SOURCES))

# ONNX Runtime reports its use by default; tools here import it by themselves.
export ORT_DISABLE_TELEMETRY := 1

# Most tests share the processors; those about servers and time, and searches of whole memories,
# have the machine to themselves.
ALONE := $(addprefix tests/,client server \
	$(addprefix end_to_end/test_,canary.py costs.py sealed_canary.py))

EXAMPLES := $(patsubst examples/%/__main__.py,%,$(wildcard examples/*/__main__.py))
EXAMPLE = $(NAME:linear=healthcare)

NAME ?= linear
PEERS ?=
OPTIONS ?=
PYTEST_FLAGS ?=

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo example known-example test test-all lint format bench docs wheel native-sanitize native-fuzz \
	native-libfuzzer constraints clean distclean

help: ## this list
	@echo "make TARGET, with TARGET one of:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: $(STAMPS)/demo ## protect, serve and ask a model on real data; writes demo-report.html
	@$(BIN)/strongroom demo

example: known-example $(STAMPS)/examples ## an application on real data: make example NAME=healthcare [OPTIONS="--rows 50"]
	@$(BIN)/python -m examples.$(EXAMPLE) $(OPTIONS)

# Asked before anything is installed, which takes minutes.
known-example:
	@$(if $(filter $(EXAMPLE),$(EXAMPLES)),:,echo "error: there is no example '$(NAME)'; NAME is one of: $(EXAMPLES)" >&2; exit 1)

test: $(STAMPS)/dev ## all tests but the long ones
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(PYTEST_FLAGS) tests \
		$(addprefix --ignore=,$(ALONE))
	$(BIN)/python -m pytest -q $(PYTEST_FLAGS) $(ALONE)

test-all: $(STAMPS)/dev $(STAMPS)/bench native-sanitize native-fuzz ## all tests, the long ones, sanitizers, fuzzers
	$(BIN)/python -m pytest -q -m "long or not long" $(PYTEST_FLAGS)

lint: $(STAMPS)/dev ## ruff, mypy --strict, clang-format; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/clang-format --dry-run -Werror $(NATIVE_CODE)

format: $(STAMPS)/dev ## bring Python and C++ into shape
	$(BIN)/python scripts/write_error_page.py
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(NATIVE_CODE)

bench: $(STAMPS)/bench ## one benchmark against its peers: make bench NAME=linear [PEERS=1]
	@$(BIN)/python benchmarks/$(NAME:sklearn=sklearn_table).py $(if $(PEERS),--peers)

docs: $(STAMPS)/docs ## the documentation as a web site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

wheel: $(STAMPS)/tools ## a wheel for this platform, in dist/
	$(PIP) wheel -qq --no-deps --no-build-isolation --wheel-dir dist \
		--config-settings=cmake.define.STRONGROOM_TESTING=OFF .
	@ls dist/*.whl

native-sanitize: build/sanitize/build.ninja ## native tests under address and undefined-behaviour sanitizers
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure --label-exclude fuzz

native-fuzz: build/sanitize/build.ninja ## the deserialisers under fuzzers and sanitizers
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure --label-regex fuzz
	@if echo 'extern "C" int LLVMFuzzerTestOneInput() { return 0; }' \
		| clang++ -x c++ -fsanitize=fuzzer -o /dev/null - 2>/dev/null; then \
		$(MAKE) --no-print-directory native-libfuzzer; \
	else echo "clang++ with libFuzzer is not here: its share of the fuzzing is left out"; fi

native-libfuzzer: $(STAMPS)/tools
	$(BIN)/cmake -S . -B build/fuzz -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DCMAKE_CXX_COMPILER=clang++ -DSTRONGROOM_FUZZ=ON -DSTRONGROOM_PYTHON=OFF
	$(BIN)/cmake --build build/fuzz
	$(BIN)/ctest --test-dir build/fuzz --output-on-failure --label-regex fuzz

build/sanitize/build.ninja: CMakeLists.txt $(STAMPS)/tools
	$(BIN)/cmake -S . -B build/sanitize -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) \
		-DSTRONGROOM_SANITIZE=ON -DSTRONGROOM_TESTING=ON -DSTRONGROOM_PYTHON=OFF

constraints: $(STAMPS)/dev $(STAMPS)/bench $(STAMPS)/docs ## pin what .venv holds now
	@echo '# Every package that a build, the tests or the documentation installs; made by `make constraints`.' \
		> $(CONSTRAINTS).new
	@$(PIP) freeze --all --exclude-editable | grep -v '^setuptools==' >> $(CONSTRAINTS).new
	@mv $(CONSTRAINTS).new $(CONSTRAINTS)

clean: ## remove what was built
	rm -rf build dist site demo-report.html .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf $(STAMPS)

distclean: clean ## remove .venv too
	rm -rf $(VENV)

$(STAMPS)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "error: $(PYTHON) is not Python 3.11 or newer; say make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@command -v $${CXX:-c++} >/dev/null 2>&1 || { \
		echo "error: no C++ compiler; install g++ 12 or newer (or set CXX)" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/tools: $(STAMPS)/python $(CONSTRAINTS)
	@echo "installing the build tools"
	@$(INSTALL) pip
	@$(INSTALL) scikit-build-core nanobind cmake ninja
	@touch $@

# One stamp per extra of pyproject.toml. STRONGROOM_TESTING adds what only tests may reach; a
# wheel is built without it.
$(STAMPS)/%: $(STAMPS)/tools $(NATIVE_SOURCES)
	@echo "installing Strongroom with what '$*' needs (builds the C++ core: some minutes at first)"
	@$(INSTALL) --no-build-isolation --config-settings=cmake.define.STRONGROOM_TESTING=ON \
		--editable '.[$*]'
	@touch $@
