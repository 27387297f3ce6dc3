# Three commands do everything: `make demo`, `make test`, `make docs`. Each prints the plain lines it
# runs.
PYTHON ?= python3

.PHONY: demo test docs survey bench

demo: .venv/installed
	.venv/bin/parity train

test: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	rm -rf build/lib build/typed  # setuptools would take files from there that are no more
	.venv/bin/pip install --quiet --no-deps --target build/typed .
	MYPYPATH=build/typed .venv/bin/mypy -p torch_parity -p book
	.venv/bin/pytest -n auto

# The book, in build/site: open build/site/index.html.
docs: .venv/installed-docs
	.venv/bin/python -m book
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --strict

# The figures of the README; half an hour on two cores.
survey: .venv/installed-dev
	.venv/bin/python -m benchmarks.faults
	.venv/bin/python -m benchmarks.false_alarms
	.venv/bin/python -m benchmarks.gradcheck

# How fast it is; the JSON is kept in benchmarks/speed/results.json.
bench: .venv/installed-bench
	.venv/bin/python -m benchmarks.speed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	.venv/bin/pip install --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv/installed-bench: .venv/installed-dev
	.venv/bin/pip install --constraint constraints.txt --editable ".[dev,bench]"
	touch $@

.venv/installed-docs: .venv/installed-dev
	.venv/bin/pip install --constraint constraints.txt --editable ".[dev,docs]"
	touch $@
