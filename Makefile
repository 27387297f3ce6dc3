# Three commands do everything: `make demo`, `make test`, `make docs`. Each installs what it needs into
# .venv, then prints the plain lines it runs.
PYTHON ?= python3
comma := ,

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
	.venv/bin/python -m book.search

# The figures of the README; half an hour on two cores.
survey: .venv/installed-dev
	.venv/bin/python -m benchmarks.faults --out benchmarks/faults.json
	.venv/bin/python -m benchmarks.false_alarms --out benchmarks/false_alarms.json
	.venv/bin/python -m benchmarks.survey_page
	.venv/bin/python -m benchmarks.gradcheck

# How fast it is; the JSON is kept in benchmarks/speed/results.json.
bench: .venv/installed-bench
	.venv/bin/python -m benchmarks.speed

# What is installed (for the message), and pip's arguments. pip's output is in a log, which an error
# ends with.
LOG = .venv/install.log
define install
@echo "Installing $(1) into .venv: minutes the first time; pip's output is in $(LOG)"
@.venv/bin/pip install --constraint constraints.txt --editable "$(2)" >$(LOG) 2>&1 || \
	{ tail -n 15 $(LOG); echo "make: pip failed; the whole output is in $(LOG)"; exit 1; }
@touch $@
endef

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -m venv .venv
	$(call install,torch-parity and what it needs,.)

.venv/installed-dev: .venv/installed
	$(call install,what the tests need,.[dev])

.venv/installed-bench: .venv/installed-dev
	$(call install,what the benchmarks compare with,.[dev$(comma)bench])

.venv/installed-docs: .venv/installed-dev
	$(call install,what builds the book,.[dev$(comma)docs])
