export PYTHONSAFEPATH := "1"

# List the recipes
default:
    @just --list

# Install and run the demo
demo *args:
    scripts/demo {{args}}

# Lint, types, walls and the quick tests: before each commit, at most 90 seconds
check *args:
    scripts/check {{args}}

# Lint, types, walls and all tests: what CI runs
test *args:
    scripts/test {{args}}

# Format the code and mend what the linter can
format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Build the wheel and the source archive into dist/
build:
    .venv/bin/python -m build
