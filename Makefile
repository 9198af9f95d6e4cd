# The two commands: make run, make test. The work is in tools/; the build itself is CMake's (CMakePresets.json).

# Not from the environment: some shells export HOST as the machine's name. `make run PORT=9000` still wins.
HOST := 127.0.0.1
PORT := 8080
MODEL :=
DEVICE :=
TESTS :=
export HOST PORT MODEL DEVICE TESTS

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo "run and chat take MODEL=file, directory or name and DEVICE=cpu|...; run also PORT=$(PORT) HOST=$(HOST)"
	@echo "test and sanitize take TESTS=pattern: only the tests whose names match"

run: ## install what is missing, build, fetch the demo model, serve it
	@tools/run

chat: ## the same set-up, then a conversation in the terminal
	@tools/run chat

test: ## install what is missing, build, run every test
	@tools/test

build: ## install what is missing, build everything (build/release/bin/hearth)
	@tools/build

setup: ## install what is missing, and say which versions are in use
	@tools/setup --tests --verify

sanitize: ## every unit test with AddressSanitizer and UndefinedBehaviorSanitizer, then with ThreadSanitizer
	@tools/sanitize

fuzz: ## a minute of each fuzzer of what hearth parses
	@tools/fuzz

soak: ## a quarter of an hour of all that clients do: memory, descriptors and answers must stay the same
	@tools/soak

lint: ## formats, clang-tidy, clippy, shellcheck
	@tools/lint

clean: ## delete build/ (models and tools stay in the cache folder)
	rm -rf build

.PHONY: help run chat test build setup sanitize fuzz soak lint clean
