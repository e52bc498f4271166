"""The commands, one per file: parse, call a stage, print.

A module here imports what its options need; it imports the stage when the command runs.
"""

COMMANDS = {
    "demo": "Run all steps on generated images with a small model that comes with the package.",
    "split": "Split one file into a training file and a test file without leaks.",
    "preview": "Write an HTML page that shows the first examples with images, prompts and labels.",
    "extract": "Run a model over training and test examples and store the features of all heads.",
    "import": "Write a store of features that another program computed.",
    "models": "List the support status of the multimodal architectures of transformers.",
    "check-model": "Test whether a checkpoint gives correct features, alone and in batches.",
    "select": "Select the heads that separate the training classes best, for each subtask.",
    "evaluate": "Classify the test examples with the chosen heads and compute the metrics.",
    "classify": "Classify new images without labels by a saved classifier.",
    "suggest": "List the images to label next: unsure ones, spread out.",
    "compare": "Compare evaluations of the same test examples, with intervals and p values.",
    "sweep": "Measure accuracy for several readouts, numbers of heads and numbers of shots.",
    "report": "Write an HTML page about results: intervals, heads, confusions and wrong examples.",
    "explain": "Show why the chosen heads voted as they did, example by example.",
    "query": "Query a store with SQL. Tables: examples, predictions and votes.",
    "show": "Show the model, size, classes, missing shards and skipped examples of a store.",
    "export": "Export features to Parquet, NumPy or safetensors, or a classifier to share.",
    "push": "Upload an exported classifier to the Hugging Face hub.",
    "slim": "Write a small store that has only some of the heads.",
    "merge": "Merge stores of the same model and settings into one.",
    "verify": "Check a store for damaged, missing, renamed, foreign and duplicate shards.",
    "repair": "Clean up a store after a crash, so that `savs extract` can complete it.",
    "doctor": "Check the installation and this machine, and print what a bug report needs.",
    "benchmarks": "List the benchmarks: task, metrics, sizes, source, licence, files.",
}
"""Command -> its summary, in the order of the help."""
