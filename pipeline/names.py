"""Names and defaults that help texts show, without the rooms that they belong to."""

ZERO_SHOT = "zero-shot"
ZERO_SHOT_MEAN = "zero-shot-mean"
GENERATED = "generated"
ICL = "icl"
OWN_ANSWERS = (ZERO_SHOT, ZERO_SHOT_MEAN, ICL, GENERATED)
"""Readouts of the model's own answers, which choose no heads."""
IMPORTED = "imported"
"""Class of the model of features that `savs import` took from a file."""
PARQUET = "parquet"
EXPORT_FORMS = (PARQUET, "npz", "safetensors")
BUNDLE_FORM = "classifier"
"""What `savs export --to` makes a bundle of."""
SPACE_FORM = "space"
"""What it makes a page for the Hugging Face Hub of."""
PAGE_SUFFIXES = (".html", ".htm")
"""Ends of the names of HTML pages."""
HEADS_IN_VLLM = "HEADS_IN_VLLM"
"""Variable that makes a process of vLLM embed heads: the architecture of the model, and optionally
after a slash the sites, with commas: `Qwen2VLForConditionalGeneration/heads,residual`."""
DEFAULT_HEADS = 20
STORE_FORM = "store"
"""What it makes a store of some heads of."""
DEFAULT_DRAWS = 10
DEFAULT_BATCH_SIZE = 32
DEFAULT_EXAMPLES = 20
"""Examples of each split that a preview shows."""
DEFAULT_GALLERY = 120
"""Most examples that a report shows."""
DEFAULT_PREDICTIONS = 500
"""Most predictions that a page of `savs classify` shows."""
DEFAULT_SUGGESTED = 20
DEFAULT_EXPLAINED = 12
"""Examples that are explained where none is named."""
