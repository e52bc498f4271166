"""A plugin that vLLM loads in each of its processes, and that acts where it is asked to.

An entry point of the group `vllm.general_plugins` names `register`. Every vLLM on a machine with
savs loads it, so it returns at once, and imports nothing, unless a variable of that process asks.
"""

import logging
import os

from savs.pipeline.names import HEADS_IN_VLLM


def register() -> None:
    """Make what `HEADS_IN_VLLM` names a model that embeds its sites; raises nothing."""
    if not (wanted := os.environ.get(HEADS_IN_VLLM)):
        return
    try:
        from savs.pipeline.extraction.model.vllm_heads import put_heads

        put_heads(wanted)
    except Exception as error:  # vLLM would end; whoever reads the embeddings sees their width
        log = logging.getLogger(__name__)
        log.warning("%s=%s is not followed: %s", HEADS_IN_VLLM, wanted, error)
