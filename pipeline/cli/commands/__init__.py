"""The commands, one per file: parse, call a stage, print.

A module here imports what its options need; it imports the stage when the command runs.
"""

STAGES = {
    "Start": {
        "demo": "Run all steps on generated images with a small model that comes with the package.",
        "doctor": "Check the installation and this machine, and print what a bug report needs.",
    },
    "Prepare data": {
        "benchmarks": "List the benchmarks: task, metrics, sizes, source, licence, files.",
        "split": "Split one file into a training file and a test file without leaks.",
        "preview": "Write an HTML page of the first examples with images, prompts and labels.",
    },
    "Choose a model": {
        "models": "List the support status of the multimodal architectures of transformers.",
        "check-model": "Test whether a checkpoint gives correct features, alone and in batches.",
    },
    "Extract features": {
        "extract": "Run a model over the examples and store the features of all heads.",
        "import": "Write a store of features that another program computed.",
    },
    "Select heads and evaluate": {
        "select": "Select the heads that separate the training classes best, for each subtask.",
        "evaluate": "Classify the test examples with the chosen heads and compute the metrics.",
        "sweep": "Measure accuracy for several readouts, numbers of heads and numbers of shots.",
        "compare": "Compare evaluations of the same test examples, with intervals and p values.",
    },
    "Look into stores and results": {
        "show": "Show the model, size, classes, missing shards and skipped examples of a store.",
        "query": "Query a store with SQL. Tables: examples, predictions and votes.",
        "report": "Write an HTML page about results: intervals, heads, confusions, wrong examples.",
        "explain": "Show why the chosen heads voted as they did, example by example.",
    },
    "Classify new images": {
        "classify": "Classify new images without labels by a saved classifier.",
        "suggest": "List the images to label next: unsure ones, spread out.",
        "push": "Upload an exported classifier to the Hugging Face hub.",
    },
    "Maintain stores": {
        "verify": "Check a store for damaged, missing, renamed, foreign and duplicate shards.",
        "repair": "Clean up a store after a crash, so that `savs extract` can complete it.",
        "merge": "Merge stores of the same model and settings into one.",
        "slim": "Write a small store that has only some of the heads.",
        "export": "Export features to Parquet, NumPy or safetensors, or a classifier to share.",
    },
}
"""Stage of the work, a panel of `savs --help` -> its commands, each with its summary."""

COMMANDS = {name: text for commands in STAGES.values() for name, text in commands.items()}
"""Command -> its summary, in the order of the help."""
