"""What to do about a checkpoint that cannot be loaded: transformers' errors as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging

from savs.pipeline.demo import DEMO_NAME
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.out_of_memory import is_out_of_memory

USUAL = {
    "model": f"give --model a Hugging Face id, a folder with config.json and weights, or"
    f" {DEMO_NAME!r}",
    "adapter": "give --adapter the id or the folder of a PEFT adapter",
}


@contextmanager
def explained(kind: str, name: str) -> Iterator[None]:
    """Keep transformers quiet while it loads, and turn what it raises into one line.

    `kind` is `model` or `adapter`.
    """
    bars, hub_level = logging.is_progress_bar_enabled(), hub_logging.get_verbosity()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()  # a line for each of many retries
    try:
        yield
    except Exception as error:  # every layer below has its own
        raise ModelError(
            f"{kind} {name!r} cannot be loaded: {_reason(error)}; {_remedy(kind, error)}"
        ) from error
    finally:
        hub_logging.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Repo id must"):
        return "there is no such folder, and no id of the hub has this form"
    if not lines:
        return repr(error)
    told = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return told.rstrip(".:")


def _remedy(kind: str, error: Exception) -> str:
    text = str(error)
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return "it needs more memory: a larger GPU, --device auto over several, or --model-kwargs"
    if "401 Unauthorized" in text or "Invalid credentials" in text:
        return "the hub refuses the token; set HF_TOKEN to a valid one"
    if "gated" in text.lower():
        return "ask for access on its page, then set HF_TOKEN"
    if "trust_remote_code" in text:
        return "if you trust the code that comes with it, give --trust-remote-code"
    if isinstance(error, ImportError):
        return "install what it names"
    return f"{USUAL[kind]} (offline, only what was fetched before can be loaded)"
