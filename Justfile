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

# Build the wheel, install it into a fresh environment without torch, and use it there
wheel:
    .venv/bin/python -m pytest -q -m slow tests/end_to_end/test_wheel.py

# Train the shipped model again, and measure it on fresh scenes (half an hour on two cores)
demo-model seed="0":
    PYTHONSAFEPATH= .venv/bin/python scripts/train_demo_model.py --out build/demo-model --seed {{seed}}
    PYTHONSAFEPATH= .venv/bin/python scripts/evaluate_demo_model.py --model build/demo-model --work build/demo-evaluation

# Format the code and mend what the linter can
format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Build the wheel and the source archive into dist/
build:
    .venv/bin/python -m build
