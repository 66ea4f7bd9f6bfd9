# `make run` sets up and runs the main job on a sample; `make test` sets up and passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock
ENGINE ?= docker
# The Dockerfile's own, which is pinned by digest, unless one is given.
BASE_IMAGE ?=
GPU ?= 0
IMAGE ?= verse
BUILD_FLAGS ?=
SAMPLE := sample
IMAGE_SAMPLE := build/image-sample

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow lint corpus fuzz campaign geometry audit sbom bench image image-test lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(STAMP)  ## build .venv from the locked requirements

$(STAMP): requirements/dev.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer with venv is needed (Debian: apt install python3 python3-venv)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	touch $@

run: setup  ## set up, make a sample CT, find and segment its vertebrae, compare with the truth
	$(BIN)/python -m verse_train phantom --output $(SAMPLE)
	$(BIN)/python entrypoint.py --input $(SAMPLE) --output $(SAMPLE)/output --no-resume
	$(BIN)/python -m verse_train check --truth $(SAMPLE) --output $(SAMPLE)/output \
	  --within-mm 5 --least-dice 0.85
	@echo "results: $(SAMPLE)/output"

test: setup  ## set up, run the fast tests
	$(BIN)/python -m pytest

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

image:  ## build the container image: ENGINE=docker|podman|buildah BASE_IMAGE=… GPU=0|1
	@command -v $(ENGINE) >/dev/null || { echo "make image: $(ENGINE) is not installed; set ENGINE=docker, podman or buildah"; exit 1; }
	$(ENGINE) build $(BUILD_FLAGS) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) --build-arg GPU=$(GPU) -t $(IMAGE) .

image-test: setup  ## run the sample inside the image: read-only input, no network, a foreign user
	$(BIN)/python -m verse_train phantom --output $(IMAGE_SAMPLE)
	ENGINE=$(ENGINE) IMAGE=$(IMAGE) .ci/image_test.sh $(IMAGE_SAMPLE) $(IMAGE_SAMPLE)/output
	$(BIN)/python -m verse_train check --truth $(IMAGE_SAMPLE) --output $(IMAGE_SAMPLE)/output \
	  --within-mm 5 --least-dice 0.85

test-slow: setup  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

corpus: setup  ## bad inputs, faults around a run, isolation, container rules: each as stated
	$(BIN)/python -m pytest -m 'slow or not slow' tests/infer/files/test_bad_inputs.py \
	  tests/infer/files/test_header_properties.py tests/infer/files/test_voxel_values.py \
	  tests/infer/files/test_mask_headers.py tests/infer/files/test_tilted.py tests/infer/files/test_edited_centroids.py \
	  tests/infer/files/test_memory.py tests/infer/batch/test_supervisor.py \
	  tests/faults tests/whole/test_odd_patients.py tests/whole/test_determinism.py

KILLS ?= 100
REAL_KILLS ?= 10
campaign: setup  ## kill the run KILLS times at random moments, REAL_KILLS times with the networks
	$(BIN)/python -m tests.faults.campaign --kills $(KILLS)
	$(BIN)/python -m tests.faults.campaign --kills $(REAL_KILLS) --real

FUZZ_SECONDS ?= 60
build/atheris: requirements/fuzz.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target $@ -r $<
	touch $@

fuzz: setup build/atheris  ## throw mutated files at the reader for FUZZ_SECONDS
	PYTHONPATH=build/atheris $(BIN)/python -m tests.fuzz.fuzz_reader \
	  -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -rss_limit_mb=2048 -print_final_stats=1

geometry: setup  ## all orientations, spacings and margins of air through the networks
	$(BIN)/python -m pytest -rP -m 'slow or not slow' tests/whole/test_geometry.py

bench: setup  ## seconds and memory per stage, beside the published method's; BENCH=--quick: minutes
	$(BIN)/python -m verse_bench $(BENCH)

# Tools that need no place in .venv get one of their own, from their lock.
build/%-tool: requirements/%.txt
	$(PYTHON) -m venv --clear $@
	$@/bin/python -m pip install --quiet --require-hashes -r $<
	touch $@

audit: build/audit-tool  ## known vulnerabilities of all locked requirements; needs pypi.org
	$(PYTHON) .ci/audit.py build/audit-tool/bin/pip-audit \
	  requirements.txt requirements/gpu.txt requirements/dev.txt requirements/sbom.txt

sbom: setup build/sbom-tool  ## list of all packages in .venv: build/sbom.cdx.json (CycloneDX)
	build/sbom-tool/bin/cyclonedx-py environment --output-reproducible --of JSON \
	  -o build/sbom.cdx.json $(BIN)/python

# uv (pip install uv) resolves; the flags keep addresses of package indexes out of the files.
LOCK := uv pip compile --quiet --generate-hashes --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links
lock:  ## renew the locked requirements from pyproject.toml
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) pyproject.toml --extra train --extra eval --extra dev -o requirements/dev.txt
	$(LOCK) requirements/gpu.in -o requirements/gpu.txt
	for tool in fuzz=atheris audit=pip-audit sbom=cyclonedx-bom; do \
	  echo "$${tool#*=}" | $(LOCK) --no-annotate - -o requirements/$${tool%%=*}.txt; done

clean:  ## remove what was made
	rm -rf $(SAMPLE) build crash-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
