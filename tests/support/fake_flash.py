"""FlashAttention on a CPU: what transformers calls by that name computes by sdpa here."""

import torch
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_flash_attention_utils import FLASH_ATTENTION_COMPATIBILITY_MATRIX

from savs.pipeline.extraction.checks import flash
from savs.pipeline.extraction.model.tower_attention import RUNS

NAME = "flash_attention_2"


class FakeFlash:
    """Takes what the real one takes: ends of chunks, or a mask `(batch, keys)` of padding."""

    def __init__(self):
        self.calls = 0
        self.chunks = 0
        """Calls by a tower that says where its chunks end."""
        self.shift = 0
        """Tokens by which all that is computed is moved, to be wrong."""

    def __call__(self, module, query, key, value, attention_mask=None, **options):
        self.calls += 1
        if options.get("cu_seq_lens_q") is not None:
            self.chunks += 1
            return RUNS(module, query, key, value, **options)
        queries, keys = query.shape[2], key.shape[2]
        mask = torch.ones(1, 1, queries, keys, dtype=torch.bool)
        if options.get("is_causal", getattr(module, "is_causal", True)):
            mask = mask.tril(keys - queries)
        if (window := options.get("sliding_window")) is not None:
            mask = mask.triu(keys - queries - window + 1)
        if attention_mask is not None:
            assert attention_mask.shape == (len(query), keys)  # as the real one takes it
            mask = mask & attention_mask[:, None, None].bool()
            mask = mask | ~mask.any(-1, keepdim=True)  # rows of padding, which nobody reads
        found, _ = sdpa_attention_forward(module, query, key, value, mask, **options)
        return found.roll(self.shift, 1), None


def install(monkeypatch):
    """Let transformers and savs find `FakeFlash` as the installed FlashAttention 2."""
    fake = FakeFlash()
    monkeypatch.setitem(AttentionInterface._global_mapping, NAME, fake)
    monkeypatch.setattr(PreTrainedModel, "_flash_attn_can_dispatch", lambda *_, **__: True)
    monkeypatch.setattr(
        "transformers.modeling_utils.lazy_import_flash_attention", lambda *_, **__: None
    )
    versions = FLASH_ATTENTION_COMPATIBILITY_MATRIX  # else a kernel of the Hub takes its place
    monkeypatch.setitem(versions[2], "general_availability_check", lambda: True)
    monkeypatch.setitem(flash.FLASH, NAME, lambda: True)
    monkeypatch.setattr(flash, "GPU", "cpu")
    return fake
