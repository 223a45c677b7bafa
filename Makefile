# What continuous integration runs, and what to run before a change is offered.
.PHONY: verify build

verify:
	cluster-scripts/test.sh

build:
	cargo build --release --locked
