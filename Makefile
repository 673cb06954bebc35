# Everything below works on a fresh Debian or Ubuntu with Rust and root: each target sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help setup image images stand-ins demo demo-down bench test test-fast chaos soak fuzz lint
SHELL := /bin/bash
scripts := tests/scripts
ARCHITECTURE ?= arm64

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: ## install what is missing: Debian packages, the musl target (quick when all is there)
	@$(scripts)/setup.sh

image: setup ## build vrrp-init:latest, one static file, and vrrp-init:hold-1 if there is none
	@$(scripts)/with-docker.sh bash -c '$(scripts)/stand-ins.sh builder && $(scripts)/image.sh'

images: image ## build vrrp-init:arm64 as well, or for ARCHITECTURE=armv7
	@$(scripts)/with-docker.sh $(scripts)/image.sh $(ARCHITECTURE)

stand-ins: setup
	@$(scripts)/with-docker.sh $(scripts)/stand-ins.sh haproxy

demo: ## two nodes on this machine; kills haproxy on the master, shows what a client sees; KEEP=1 leaves it running
	@KEEP=$(KEEP) compose/demo/run.sh

demo-down: ## remove what `make demo KEEP=1` left running
	@compose/demo/run.sh down

bench: setup ## failover, load, idle and scale figures beside keepalived, 40 minutes; BENCH=quick: 6
	cargo bench --locked --target $(shell uname -m)-unknown-linux-musl --bench side_by_side

lint: setup ## formatting, clippy and rustdoc without a warning, crates and licenses, no C in the tree, workflows
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	$(scripts)/supply.sh
	$(scripts)/workflows.sh

test-fast: setup ## the tests that need no privilege: no namespaces, no Docker
	cargo test --locked --lib --bins --test pure

chaos: setup ## faults by CHAOS_SEED (random) on two and three hosts for CHAOS_SECONDS (600); a seed runs again the same
	@CHAOS_SEED=$${CHAOS_SEED:-$$(shuf -i 1-1000000 -n 1)} CHAOS_SECONDS=$${CHAOS_SECONDS:-600} \
		cargo test --locked --test netns chaos:: -- --nocapture

soak: setup ## a pair for SOAK_HOURS (1) under load, scrapes and faults, judged; docs/soak.svg; SOAK_SAMPLES=FILE draws alone
	cargo bench --locked --target $(shell uname -m)-unknown-linux-musl --bench soak

fuzz: setup ## libFuzzer on all that is parsed and on the state machine, FUZZ_SECONDS (60) for each target
	@$(scripts)/fuzz.sh

# The namespace tests mostly wait: many at once.
test: lint ## everything
	RUST_TEST_THREADS=16 $(scripts)/with-docker.sh cargo test --locked --no-fail-fast
