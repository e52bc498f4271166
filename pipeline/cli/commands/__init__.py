"""The commands, one per file: parse, call a stage, print.

A module here imports what its options need; it imports the stage when the command runs. Its
`EXAMPLES` end its help.
"""

STAGES = {
    "Start": {
        "demo": "Run all steps on drawn images with a small model that comes with the package.",
        "doctor": "Check the installation and this machine, and print what a bug report needs.",
    },
    "Before you extract": {
        "benchmarks": "List the benchmarks: task, metrics, sizes, source, licence, files.",
        "models": "List the model architectures that work, or test a checkpoint.",
    },
    "Features": {
        "extract": "Run a model over images and store the features of all heads.",
        "import": "Write a store of features that another program computed.",
    },
    "Classifier": {
        "ask": "Ask the model about images: classes, yes or no, or levels. Needs no label.",
        "train": "Train a classifier on a folder of class folders, a table, or a store.",
        "select": "Select the heads that separate the training classes best.",
        "evaluate": "Classify the test examples with the selected heads and compute metrics.",
        "sweep": "Measure accuracy for several readouts, numbers of heads and numbers of shots.",
        "compare": "Compare results on the same test examples, with intervals and p values.",
        "classify": "Classify new images with a saved classifier.",
        "suggest": "Suggest the images to label next: the least sure, spread out.",
        "label": "Give labels to images whose features the store has; no model runs.",
        "app": "Open a page in the browser: classify, label, and look at results.",
    },
    "Look into stores and results": {
        "show": "Show the model, size, classes, missing shards and skipped examples of a store.",
        "query": "Query a store with SQL. Tables: examples, predictions and votes.",
        "report": "Write an HTML page about results: intervals, heads, confusions, wrong examples.",
        "explain": "Show why the heads voted as they did, example by example.",
    },
    "Keep and share": {
        "verify": "Check a store for damaged, missing and foreign shards.",
        "merge": "Merge stores of the same model and settings into one.",
        "export": "Export a classifier, a smaller store, or features for other programs.",
    },
}
"""Stage of the work, a panel of `savs --help` -> its commands, each with its summary."""

COMMANDS = {name: text for commands in STAGES.values() for name, text in commands.items()}
"""Command -> its summary, in the order of the help."""

GUESSES = {
    "predict": "`savs classify CLASSIFIER IMAGES`",
    "annotate": "`savs suggest STORE`, then `savs label STORE LABELS`",
    "fit": "`savs train IMAGES`",
    "test": "`savs evaluate STORE`",
    "push": "`savs export STORE --to hf://owner/name`",
    "upload": "`savs export STORE --to hf://owner/name`",
    "repair": "`savs verify STORE --repair`",
    "preview": "`savs extract ... --dry-run --page FILE.html`",
    "split": "`savs extract ... --test FILE --shots N`, which draws the training examples",
    "plot": "`savs report STORE --out FILE.html`",
    "info": "`savs show STORE`",
}
"""What other programs call a command -> what does it here."""
