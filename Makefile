# Doorbell's commands. `make help` lists them.

SERVICES = scripts/test-services

.PHONY: help run test check fmt bench torture outages ui

help: ## List the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

ui: ## Build the offline API page into ui/dist
	cd ui && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run --silent build

run: ui ## Build and start the server on an embedded database
	cargo build --release -p doorbell
	target/release/doorbell

test: ui ## Everything, on both databases; installs what it needs
	$(SERVICES) scripts/test-all

check: ## Formatting, lints, licences, spelling
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@scripts/if-installed cargo-deny cargo deny --all-features check
	@scripts/if-installed typos typos

fmt: ## Format the code
	cargo fmt --all

bench: ## Measure speed as ratios to the floor of this machine
	cargo build --release -p doorbell -p doorbell-bench
	$(SERVICES) --durable target/release/doorbell-bench all --rounds 3

torture: ## kill -9 under load, again and again
	cargo build --release -p doorbell -p doorbell-bench
	$(SERVICES) --durable target/release/doorbell-bench torture

outages: ## Take database and Redis away under load, again and again
	cargo build --release -p doorbell -p doorbell-bench
	$(SERVICES) --durable target/release/doorbell-bench outages
