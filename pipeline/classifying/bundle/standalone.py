"""predict.py: a classifier's program for machines without savs, and which classifiers it can run.

It puts one image before one question, and computes one readout at a time in float32. What it lacks
would be other predictions, so it is left out of a bundle where this file names a reason.
"""

from importlib.resources import files

from savs.datasets.example import split_prompt
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.stores.format.layout import LOGIT_SCALE

PREDICT = "predict.py"
STANDALONE = ("vote", "posterior", "calm", "lda")
"""Readouts that predict.py computes."""
NOT_RECORDED = ("adapter", "code", "kwargs")
"""What changes a model and is never taken from a classifier."""


def predict_program() -> bytes:
    """Return the content of predict.py."""
    return (files("savs.pipeline.classifying.bundle") / "files" / PREDICT).read_bytes()


def why_not_standalone(config: SelectionConfig) -> str | None:
    """Return why predict.py cannot run a classifier; None if it can."""
    if config.readout not in STANDALONE or config.readout_file is not None:
        return f"it computes {', '.join(STANDALONE)}, not {config.readout}"
    task, *others = config.tasks
    if others:
        return f"it answers one question, and the classifier has {len(config.tasks)} subtasks"
    if task.question is None:
        return "it asks one question, and the training examples had several"
    if task.media != 1:
        return "it reads one image for each prompt, and the training examples had other numbers"
    facts = config.source.model
    if LOGIT_SCALE in facts:
        return "it reads the heads of a language model, and this is a dual encoder"
    if facts.get("placeholders") or split_prompt(task.question, 1)[0] != 0:
        return "it puts the image before the question, and the prompt has it elsewhere"
    if found := [name for name in NOT_RECORDED if facts.get(name)]:
        return f"it runs the model as it is, and this one was loaded with: {', '.join(found)}"
    if config.source.processor.get("video"):
        return "it reads images, and training had videos, or was given --video"
    if config.source.processor.get("jpeg_draft"):
        return "it decodes images whole, and training decoded them with --jpeg-draft"
    return None
