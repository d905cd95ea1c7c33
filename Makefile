# The two commands are `make run` and `make test`; CI runs `make test` and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/auxot
# Outside the tree, so that every clone of this repository shares one build.
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CLIPPY_CONF_DIR := $(CURDIR)/config/lint
export RUSTDOCFLAGS := -D warnings

.PHONY: help run test check check-airgap check-bare llama airgap dist reference fmt bench fuzz chaos soak clients monitoring page-test mcp-test clean-cache ready tools lint unit suites scripts

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## *(.*)/  make \1\t\2/' | expand -t 20

run: ## build, get an engine and a model, start all, stream one answer; Ctrl-C ends it
	@scripts/run.sh

test: ready lint scripts suites ## all of CI: what `check` does, and every suite, the real engine included

check: tools lint scripts unit ## format, clippy, docs, arrows, unit tests: some seconds, no engine

check-airgap: tools ## a bundle in a root without a network, from its check to an answer (needs root, debootstrap and systemd-nspawn)
	@cargo build --workspace --bins
	scripts/check-airgap.sh

check-bare: ## both of the README's commands in a bare Debian root, as a newcomer has it (needs root and debootstrap)
	@scripts/check-bare.sh

llama: ## build llama-server for the devices of this host (BACKEND=cuda, rocm, metal, vulkan or cpu for another; ARCH="86;90")
	@scripts/build-llama.sh --backend $(or $(BACKEND),auto) $(if $(ARCH),--arch "$(ARCH)")

airgap: ## one tar file for a host without a network (MODELS="a.gguf b.gguf", BACKENDS="cuda cpu", SIGNING_KEY=…)
	@cargo build --release --workspace --bins
	scripts/make-airgap.sh $(or $(BUNDLE),auxot-airgap.tar) $(MODELS)

dist: ## the programs of a release for Linux with glibc 2.28 and newer, in FOLDER (dist) for ARCH (this host's), signed with SIGNING_KEY
	@scripts/dist.sh $(or $(FOLDER),dist) $(ARCH)

reference: ## docs/configuration.md, from the settings' types
	@WRITE_REFERENCE=1 cargo test --package auxot-settings --lib --quiet reference

fmt: ## format all of the Rust
	@cargo fmt --all -- --config-path config/lint

bench: tools ## the figures of relay and supervision, beside the same work done directly (ONLY=paced,idle; BASE=the worker of another build)
	@cargo build --release --workspace --bins
	cargo bench --package auxot-tests

fuzz: tools ## ten million hostile inputs for each parser (INPUTS=N for another number)
	@INPUTS=$${INPUTS:-10000000} cargo test --release --package auxot-tests --test fuzz

chaos: tools ## every fault at every moment, and a table of what came of it (ROW=router for some)
	@cargo build --workspace --bins
	REAL_ENGINE=$$(scripts/get-engine.sh)
	TINY_MODELS=$$(scripts/make-tiny-models.py)
	export REAL_ENGINE TINY_MODELS
	cargo test --package auxot-tests --test chaos -- $(ROW)

soak: tools ## random faults over random load for SECONDS (60), and what drifts (SEED=N for the same again)
	@cargo build --workspace --bins
	SOAK_SECONDS=$(or $(SECONDS),60) cargo test --package auxot-tests --test soak -- --nocapture

monitoring: tools ## metrics, alert rules and dashboard against a real Prometheus (needs Debian's prometheus)
	@cargo build --workspace --bins
	scripts/check-monitoring.sh

page-test: tools ## the page in headless Chromium, and its pictures in docs/ (needs Debian's chromium, npm)
	@cargo build --workspace --bins
	scripts/page-test.sh

mcp-test: tools ## the tools for agents by the official clients, and the API by a fuzzer (needs npm and Python's venv)
	@cargo build --workspace --bins
	scripts/mcp-test.sh

clients: tools ## what unmodified clients do with the gateway's answers (needs Python 3 with venv, Node, npm; not part of CI)
	@cargo build --workspace --bins
	scripts/check-clients.sh

clean-cache: ## throw away everything built and fetched
	@rm -rf "$(CACHE)/target" "$(CACHE)/engine" "$(CACHE)/models" "$(CACHE)/downloads" "$(CACHE)/tiny-models"

# All that a bare host may lack, in one line, before anything is begun; then what is still to get, and how long it takes.
ready:
	@scripts/preflight.sh test
	scripts/build.sh --workspace --bins

# The same for what needs no engine.
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing; install Rust 1.95 or newer with rustup"; exit 1; }
	command -v cc >/dev/null || { echo "a C compiler is missing; install it: apt-get install gcc"; exit 1; }

lint:
	@cargo fmt --version >/dev/null 2>&1 || { echo "rustfmt is missing; install it: rustup component add rustfmt"; exit 1; }
	cargo clippy --version >/dev/null 2>&1 || { echo "clippy is missing; install it: rustup component add clippy"; exit 1; }
	cargo fmt --all --check -- --config-path config/lint
	cargo clippy --workspace --all-targets -- -D warnings
	cargo doc --workspace --no-deps --document-private-items --quiet
	if cargo deny --version >/dev/null 2>&1; then
		cargo deny --all-features --config config/lint/deny.toml check licenses bans sources
	else
		echo "cargo-deny is not installed: licences and bans are not checked here"
	fi

scripts:
	@scripts/check-scripts.sh

unit:
	@cargo test --workspace --lib --bins --quiet
	cargo test --package auxot-tests --test layers --quiet

# The programs first: a test finds those of other packages in the target folder. nextest runs the tests where it is
# installed, cargo itself where it is not; the summary is the runner's own.
suites:
	@cargo build --workspace --bins
	REAL_ENGINE=$$(scripts/get-engine.sh)
	REAL_MODEL=$$(scripts/get-model.sh)
	TINY_MODELS=$$(scripts/make-tiny-models.py)
	export REAL_ENGINE REAL_MODEL TINY_MODELS
	status=0
	if cargo nextest --version >/dev/null 2>&1; then
		cargo nextest run --workspace --no-fail-fast || status=$$?
	else
		cargo test --workspace --no-fail-fast --lib --bins --tests || status=$$?
	fi
	cargo test --package auxot-tests --test chaos --quiet -- --table
	cargo test --workspace --doc --quiet
	exit $$status
