"""A stand-in for vLLM where it is not installed: its classes, with transformers as the engine.

The plugin's class is made of a model of transformers, whose layers pass on tokens in the same
places; vLLM's own steps, chunks and ranks are not here (`just vllm` has those).
"""

import os
import sys
from types import ModuleType, SimpleNamespace

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from savs.pipeline.extraction.model import vllm_heads, vllm_model
from savs.pipeline.names import HEADS_IN_VLLM

VERSION = "0.0.1"
ARCHITECTURE = "Qwen2VLForConditionalGeneration"
MODULES = (
    "vllm",
    "vllm.v1",
    "vllm.v1.engine",
    "vllm.v1.engine.exceptions",
    "vllm.model_executor",
    "vllm.model_executor.models",
    "vllm.model_executor.models.adapters",
)


class EngineDeadError(Exception):
    """As that of vLLM."""


class Base(nn.Module):
    """A model class of vLLM, made of one of transformers."""

    def __init__(self, *, vllm_config, prefix=""):
        super().__init__()
        assert not prefix
        self.whole = vllm_config.whole

    def get_language_model(self):
        return self.whole.get_decoder()


class Registry:
    """As `vllm.ModelRegistry`."""

    def __init__(self, *architectures):
        self.models = {name: SimpleNamespace(load_model_cls=lambda: Base) for name in architectures}

    def register_model(self, architecture, kind):
        self.models[architecture] = SimpleNamespace(load_model_cls=lambda: kind)


class StandIn:
    """What a test sees and changes of the stand-in."""

    def __init__(self):
        self.registry = Registry(ARCHITECTURE)
        self.arguments = []
        """Of each engine that was started."""
        self.change = lambda data: data
        """Changes what is embedded."""
        self.refuse = lambda prompt: False
        self.dies = False
        self.sent = False
        """Whether it takes images for known that it never got."""

    def llm(self, **arguments):
        """As `vllm.LLM`: an engine with a checkpoint."""
        self.arguments.append(arguments)
        path = arguments["model"]
        if wanted := os.environ.get(HEADS_IN_VLLM):
            vllm_heads.put_heads(wanted)  # as its plugin does
        dtype = getattr(torch, arguments["dtype"])
        whole = AutoModelForImageTextToText.from_pretrained(path, dtype=dtype).eval()
        processor = AutoProcessor.from_pretrained(path)
        kind = self.registry.models[type(whole).__name__].load_model_cls()
        of_model = SimpleNamespace(hf_config=whole.config)
        model = kind(vllm_config=SimpleNamespace(whole=whole, model_config=of_model))
        core = SimpleNamespace(shutdown=lambda: None)
        return SimpleNamespace(
            encode=lambda prompts, **options: self.encode(model, processor, prompts, **options),
            llm_engine=SimpleNamespace(engine_core=core, reset_mm_cache=self.reset),
        )

    def reset(self):
        """As `LLMEngine.reset_mm_cache`."""
        self.sent = False

    def encode(self, model, processor, prompts, *, pooling_task, use_tqdm):
        """As `LLM.encode`."""
        assert (pooling_task, use_tqdm) == ("embed", False)
        if self.dies:
            raise EngineDeadError
        if any(map(self.refuse, prompts)):
            self.sent = True
            raise ValueError("the prompt is too long\nmore words")
        if self.sent:
            none = SimpleNamespace(data=torch.zeros(0))
            return [SimpleNamespace(outputs=none, prompt_token_ids=[]) for _ in prompts]
        outputs = []
        for prompt in prompts:
            text = prompt.get("prompt") or processor.tokenizer.decode(prompt["prompt_token_ids"])
            images = prompt.get("multi_modal_data", {}).get("image")
            inputs = processor(text=[text], images=images, return_tensors="pt")
            with torch.inference_mode():
                model.whole(**inputs, use_cache=False)
            tokens = inputs["input_ids"][0].tolist()
            # here a step is `(1, tokens, width)`, in vLLM `(tokens, width)`
            (data,) = model.pooler.rows((0, torch.tensor([len(tokens) - 1])), lambda values: values)
            outputs.append(
                SimpleNamespace(
                    outputs=SimpleNamespace(data=self.change(data)), prompt_token_ids=tokens
                )
            )
        return outputs


def put_in_place(monkeypatch):
    """Let `import vllm` find the stand-in, and return it."""
    stand_in = StandIn()
    modules = {name: ModuleType(name) for name in MODULES}
    modules["vllm"].__version__ = VERSION
    modules["vllm"].LLM = stand_in.llm
    modules["vllm"].ModelRegistry = stand_in.registry
    modules["vllm.v1.engine.exceptions"].EngineDeadError = EngineDeadError
    modules["vllm.model_executor.models.adapters"].as_embedding_model = lambda base: base
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    point = SimpleNamespace(name="savs")
    monkeypatch.setattr(vllm_model, "find_spec", lambda name: modules.get(name))
    monkeypatch.setattr(vllm_model, "entry_points", lambda group: [point])
    monkeypatch.setattr(vllm_heads, "pooler_of_sites", lambda kept: kept)
    return stand_in
