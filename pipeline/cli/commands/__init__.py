"""The commands, one a file: parse, call a stage, print.

A module here imports what its options need; it imports the stage when the command runs.
"""

COMMANDS = {
    "demo": "Draw a small data set, extract it with the shipped model, select heads, evaluate.",
    "split": "Draw training examples from one file; write a train and a test file that share none.",
    "preview": "Write one HTML page with the first examples: images, prompts, labels, skips.",
    "extract": "Run a model once over train and test examples and store the features of all heads.",
    "models": "List every multimodal architecture of transformers and whether it is supported.",
    "check-model": "Test whether the features of a checkpoint can be trusted, also in batches.",
    "select": "Choose the heads that tell the training classes apart, for each subtask separately.",
    "evaluate": "Classify the test examples with a selection and measure how well.",
    "compare": "Compare evaluations on the same test examples, with intervals and p values.",
    "sweep": "Measure how accuracy depends on readout, heads and shots, over few-shot draws.",
    "query": "Query a store with SQL: tables examples, predictions (after evaluate) and votes.",
    "show": "Show what a store holds, how complete it is, its classes, and what was skipped.",
    "export": "Write features of some heads for other programs, with ids and labels.",
    "slim": "Write a store of some heads only: from the GPU box to a laptop in megabytes.",
    "merge": "Make one store of several of the same model and settings.",
    "verify": "Find every changed byte, and missing, renamed, foreign or duplicate shards.",
    "repair": "Remove what dead writers left, set damaged shards aside, list the shards to redo.",
    "benchmarks": "List the benchmarks: task, metrics, sizes, source, licence, files.",
}
"""Command -> its summary, in the order of the help."""
