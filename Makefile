# Regatta, for people: `make` shows what there is.
# Needed: a Rust toolchain (https://rustup.rs) and make; for the web console also Node 20.19 or newer (https://nodejs.org).
# What else a target needs it fetches itself, with cargo and npm.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up web test test-tools test-format test-lint test-run test-docs test-web test-perf shots audit bench install fmt lint

CARGO ?= cargo
# With --locked a build takes exactly the versions of Cargo.lock.
ALL := --workspace --all-targets --locked
# What tests say that could not be run here, for want of Python, a compiler or rights.
SKIPPED := $(or $(CARGO_TARGET_DIR),target)/tmp/skipped
REGATTA := $(or $(CARGO_TARGET_DIR),target)/release/regatta
REPORTS := $(or $(CARGO_TARGET_DIR),target)/perf

help: ## show this
	@echo "Regatta runs a fleet of AI agents as one system."
	@echo
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18
	@echo
	@echo "First steps: make up, then follow what it prints. README.md has the rest."

# What the console is made of; its tests are not.
WEB_SOURCES := $(shell find web/src web/scripts -type f ! -name '*.test.ts' ! -name schema.d.ts) web/index.html web/load.html \
	web/package.json web/svelte.config.js web/tsconfig.json web/vite.config.ts crates/server/tests/it/snapshots/it__openapi__openapi.snap

web: ## build the web console into web/dist, from where the binary takes it
	@if ! node web/scripts/node.mjs 2>/dev/null || ! command -v npm >/dev/null; then \
		echo "(without Node 20.19 or newer, https://nodejs.org, the binary has no web console)"; \
	elif ! $(MAKE) --silent --no-print-directory web/dist/index.html; then \
		echo "the web console could not be built; the binary is without it, or has an older one"; \
	fi

web/node_modules/.package-lock.json: web/package.json web/package-lock.json web/.npmrc
	@echo "fetching what the web console is built with ..."
	@cd web && timeout 600 npm ci --silent
	@touch $@

# A binary takes the files in when the file that names them is compiled, and cargo does not see new ones come.
web/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	@echo "building the web console ..."
	@cd web && REGATTA_QUIET=1 npm run --silent build
	@touch crates/server/src/console.rs

up: web ## build and start everything on this machine (UP="--demo" adds simulated agents)
	@if [[ -x $(REGATTA) ]]; then \
		echo "building what changed ..."; \
	else \
		echo "building regatta: about 8 minutes the first time on two cores, seconds to two minutes after that ..."; \
	fi
	@start=$$SECONDS; $(CARGO) build --release --locked --bin regatta; echo "built in $$((SECONDS - start)) s"
	@exec $(REGATTA) up $(UP)

# The parts of `make test`, the fastest to fail first, each with what it took; the requirements come last and keep their report.
test: test-tools web ## everything a change must pass: format, lints, all tests, the performance requirements
	@took=""; \
	for part in test-format test-lint test-docs test-web; do \
		start=$$SECONDS; \
		echo "==> $$part"; \
		$(MAKE) --no-print-directory $$part; \
		echo "==> $$part took $$((SECONDS - start)) s"; \
		took+=" $$part $$((SECONDS - start)) s,"; \
	done; \
	echo "==> test-run (until here:$${took%,}; the runner says below what it takes)"; \
	$(MAKE) --no-print-directory test-run; \
	echo "==> test-perf"; \
	$(MAKE) --no-print-directory test-perf

# A toolchain with rustup's minimal profile has neither of the first two. Some tests run programs of the Python Package Index
# beside ours; where they cannot be had these tests say so.
test-tools:
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy
	@scripts/test-services.sh
	@if ! python3 -c 'import venv, ensurepip' 2>/dev/null && [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
		echo "installing Debian's python3-venv for some of the tests ..."; \
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv; } >/dev/null 2>&1 \
			|| echo "python3-venv could not be installed"; \
	fi

test-format:
	@$(CARGO) fmt --all --check

test-lint:
	@$(CARGO) clippy $(ALL) --quiet -- --deny warnings

test-docs:
	@$(CARGO) test --doc --workspace --locked --quiet

# The web console: its logic, then its pages in a real Chromium against the real binary.
test-web: web
	@if [[ -e web/node_modules/.package-lock.json ]]; then $(MAKE) --silent --no-print-directory web/dist/index.html; fi
	@$(CARGO) build --locked --quiet --bin regatta
	@web/scripts/test.sh

# Without the benches, which measure. nextest runs the tests of all binaries side by side; without it cargo's own runner does, one binary after the other.
test-run:
	@rm -f $(SKIPPED)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace --locked --no-fail-fast; \
	else \
		echo "(cargo-nextest is not installed; cargo test runs the same tests, slower)"; \
		$(CARGO) test --workspace --lib --bins --tests --locked --no-fail-fast; \
	fi
	@if [[ -e $(SKIPPED) ]]; then cat $(SKIPPED); fi

# What the platform promises, measured on the release binary; limits lie orders of magnitude above what it takes.
test-perf:
	@$(CARGO) build --release --locked --quiet --bin regatta
	@mkdir -p $(REPORTS)
	@$(REGATTA) perf --report $(REPORTS)/performance_report.txt --report $(REPORTS)/performance_report.html \
		--report $(REPORTS)/performance_report.json; \
	echo "report: $(REPORTS)/performance_report.html, .txt and .json"

# Pictures of every page in both themes at three widths, for people to look at; into target/web-shots.
shots: web
	@$(CARGO) build --locked --quiet --bin regatta
	@cd web && npm run --silent shots

# Apart from `make test`: it needs the network, once for cargo-deny itself and then for its database of advisories.
audit: ## check the licences, sources and known holes of all dependencies
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	@$(CARGO) deny --log-level error --locked check bans licenses sources
	@if $(CARGO) deny --locked fetch db >/dev/null 2>&1; then \
		$(CARGO) deny --log-level error --locked check --disable-fetch advisories; \
	else \
		echo "advisories: SKIPPED, their database (https://github.com/rustsec/advisory-db) cannot be reached from here"; \
	fi

bench: web ## measure speed and memory against their limits (about 8 minutes)
	@scripts/test-services.sh
	@$(CARGO) bench --locked --bench budget
	@echo; echo "The store alone, in process, against a plain loop over the same rows:"
	@$(CARGO) run --release --locked --quiet -p regatta-store --example store_bench
	@echo; echo "The load engine: one thread against wrk and Locust on the same static server, memory, and whether its figures are true:"
	@$(CARGO) run --release --locked --quiet -p regatta-load --example load_bench
	@echo; echo "The web pages, in Chromium: what is loaded first, and when it can be used on a slow CPU:"
	@if [[ -e web/dist/index.html ]]; then \
		$(CARGO) build --release --locked --quiet --bin regatta; \
		cd web && REGATTA_BIN='$(abspath $(REGATTA))' npm run --silent bench; \
	else echo "SKIPPED: the binary has no web pages without Node"; fi

install: web ## put regatta on your PATH, with completions for your shell (PREFIX=DIR: into DIR/bin)
	$(CARGO) install --path . --locked $(if $(PREFIX),--root '$(PREFIX)') $(INSTALL)
	@prefix='$(PREFIX)'; bin="$${prefix:-$${CARGO_INSTALL_ROOT:-$${CARGO_HOME:-$$HOME/.cargo}}}/bin/regatta"; \
	test -x "$$bin" || { echo "cargo did not put regatta at $$bin: set PREFIX to where it should go" >&2; exit 1; }; \
	case "$${SHELL##*/}" in \
		zsh) file="$$HOME/.zfunc/_regatta"; shell=zsh; note=" (put \`fpath+=~/.zfunc\` before \`compinit\` in ~/.zshrc)" ;; \
		fish) file="$${XDG_CONFIG_HOME:-$$HOME/.config}/fish/completions/regatta.fish"; shell=fish; note="" ;; \
		*) file="$${XDG_DATA_HOME:-$$HOME/.local/share}/bash-completion/completions/regatta"; shell=bash; note="" ;; \
	esac; \
	mkdir -p "$$(dirname "$$file")"; "$$bin" completions "$$shell" > "$$file"; \
	echo "the program: $$bin"; \
	echo "completions for $$shell, in new terminals: $$file$$note"; \
	found=$$(command -v regatta || true); \
	if [[ -z $$found ]]; then echo "add $$(dirname "$$bin") to your PATH"; \
	elif [[ ! $$found -ef $$bin ]]; then echo "mind that your PATH finds another one first: $$found"; fi

fmt: ## format the code
	$(CARGO) fmt --all

lint: ## what clippy has to say
	$(CARGO) clippy $(ALL) -- --deny warnings
