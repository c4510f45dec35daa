# The same targets serve a developer, .ci/run and GitHub Actions.
.DEFAULT_GOAL := help
.PHONY: help install build wheel format lint lint-python lint-rust layers lengths pins typecheck types stub \
	test test-rust mutants sanitize test-two test-oldest bench results docs site deny licences lock clean ci

RUN ?= uv run
MUTATED = topk lanes buckets score ranking plausibility faithfulness complexity relative_gain sums bootstrap align word_scores ragged pool
SOURCES = '*.py' '*.pyi' '*.rs'
TOO_LONG = $$2 != "total" && $$1 > 500 { print $$2 ": " $$1 " lines, expected at most 500"; bad = 1 } END { exit bad }

help:  ## what each target does
	@awk -F '## ' '/^[a-z-]+:.*## / { sub(/:.*/, "", $$1); printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install:  ## environment with everything for development; the extension is built when a Rust file changed
	uv sync

build:  ## builds the extension anew, whatever changed
	uv sync --reinstall-package unirex-rationales

wheel:  ## sdist, and from it the wheel, into dist/: manylinux2014 on Linux, the same bytes in any folder
	tools/wheel.sh

format:  ## rewrites Python and Rust in the one style
	$(RUN) ruff format
	$(RUN) ruff check --fix
	cargo fmt

lint: lint-python lint-rust layers lengths pins  ## what follows, up to pins
lint-python:  ## ruff, style and format
	$(RUN) ruff check
	$(RUN) ruff format --check
lint-rust:  ## rustfmt, and clippy with and without the bindings
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --all-features -- -D warnings
layers:  ## imports point one way, scoring reaches no torch, and Rust files name each other in no circle
	$(RUN) lint-imports
	$(RUN) python tools/rust_circles.py
lengths:  ## no file over 500 lines
	@git ls-files $(SOURCES) | xargs wc -l | awk '$(TOO_LONG)'
pins:  ## constraints.txt, pyproject.toml and a fresh resolution agree
	$(RUN) python tools/pin.py --check

typecheck: types stub  ## what follows
types:  ## strict mypy
	$(RUN) mypy
stub:  ## the hand-written stub against the built extension
	$(RUN) stubtest unirex._rust --mypy-config-file tools/stubtest.ini --allowlist tools/stubtest-allowlist.txt

test:  ## Python tests and doctests
	uv run pytest -n 3 --dist loadfile

test-rust:  ## tests of the core, which need no Python
	cargo test --locked

mutants:  ## changes the code one place at a time, and names the changes that no test notices (ARGS=--sample 40; hours)
	$(RUN) python tools/mutants.py $(ARGS)
	CARGO_PROFILE_DEV_DEBUG=0 PROPTEST_CASES=32 cargo mutants --gitignore true $(MUTATED:%=-f rust/%.rs) \
		--cargo-arg=--locked --cargo-arg=--lib

sanitize:  ## the same under AddressSanitizer
	tools/sanitize.sh address

# --multi_gpu is how accelerate starts several processes; the variable keeps them on the CPU.
test-two:  ## the quickstart on two processes, on the CPU
	ACCELERATE_USE_CPU=true $(RUN) accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no \
		--dynamo_backend no -m unirex.train --config recipes/quickstart.yaml --train.epochs 1 --output runs/two-processes

test-oldest:  ## the Python tests with the oldest versions of what pyproject.toml allows
	uv venv --quiet --clear --python 3.11 target/oldest
	uv pip install --quiet --no-config --python target/oldest --resolution lowest-direct \
		--editable '.[train,report,ray]' --group dev
	target/oldest/bin/python -m pytest

bench:  ## every benchmark that needs nothing named
	cargo bench --locked
	for file in $(filter-out benches/beside.py benches/predictions.py benches/select_then_predict.py,$(wildcard benches/*.py)); do $(RUN) python $$file || exit 1; done

results:  ## all tables of docs/results.md, from the ledgers in results/
	for suite in $$(sed -n 's/^<!-- suite \(.*\) -->$$/\1/p' docs/results.md); do \
		$(RUN) python -m unirex.suite recipes/suites/$$suite.yaml --table-only --page docs/results.md || exit; \
	done

docs:  ## the core's documentation, with warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features

site:  ## the documentation as a site in docs/_build/html, with warnings as errors
	$(RUN) python -m sphinx -q -W --keep-going -b html docs docs/_build/html

deny:  ## licences, duplicates and sources of the crates
	cargo deny --locked check bans licenses sources

licences:  ## licences of the Python packages, extras included
	uv export --quiet --no-default-groups --all-extras --no-emit-project | \
		uv run --quiet --isolated --no-project --python 3.11 --with-requirements - python tools/licences.py

lock:  ## resolves again and writes constraints.txt and the pins in pyproject.toml (ARGS=--upgrade: newest of all)
	uv run --no-project tools/pin.py $(ARGS)

clean:  ## removes what can be made again
	rm -rf target dist .venv uv.lock .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find python -name '*.so' -delete
	find python tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

ci:  ## everything above that can fail, with a summary
	bash .ci/run
