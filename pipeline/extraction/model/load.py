"""Load a checkpoint, from the hub, a folder, or the shipped one: its processor, then its weights.

`load_encoder` reads everything but weights; a worker process needs no more.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import logging as hub_logging
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.auto.modeling_auto import AutoModelForSeq2SeqLM
from transformers.utils import logging
from transformers.utils.hub import cached_file

from savs.datasets.example import SPLIT, first_few
from savs.foundation.network import hub_problem
from savs.pipeline.demo import DEMO_NAME
from savs.pipeline.encoders.embedding import (
    HEAD,
    embedding_inputs,
    embeddings,
    output_layer,
    require_tokens,
)
from savs.pipeline.encoders.image import (
    Tower,
    inputs_of,
    is_dual,
    is_image_encoder,
    text_limit,
)
from savs.pipeline.encoders.recipe import EmbeddingRecipe, read_recipe
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.checkpoint_files import (
    PickledWeightsError,
    adapter_digest,
    code_digest,
    prompt_files,
    weight_files,
    weight_paths,
)
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.hook_points import (
    HookPoint,
    find_hook_points,
    require_decoder_only,
)
from savs.pipeline.extraction.model.identity import CODE, model_settings
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import AUTO, ModelOptions, with_recipe
from savs.pipeline.extraction.model.placement import Placement, first_layers
from savs.pipeline.extraction.model.prompt_encoder import (
    NO_CODE,
    PromptEncoder,
    load_own_code,
)
from savs.pipeline.prompts.chat import (
    chat_inputs,
    pictured_inputs,
    require_plain_mark,
    worded_prompts,
)
from savs.pipeline.prompts.media_places import IMAGE, media_places
from savs.pipeline.prompts.mistral_processor import (
    MODEL_TYPES,
    MistralProcessor,
    require_mistral,
)
from savs.pipeline.prompts.prompt_form import (
    EXAMPLE,
    IN_FRONT,
    NEEDS_IMAGE,
    begin_text,
    find_form,
)
from savs.pipeline.running.option_texts import VLLM
from savs.stores import LayerGrid

KINDS = (AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM)
"""What a checkpoint is loaded as: the first that knows its architecture."""
POOLER = "pooler"
"""The part of an image encoder that some checkpoints lack."""
MOST_NAMES = 3
"""Missing weights that are named at most."""
FLASH_NEEDS = (
    "it needs a model that supports it, a CUDA GPU and its package: pip install flash-attn for"
    " flash_attention_2, flash-attn-3 and flash-attn-4 for the others"
)
USUAL = {
    "model": f"give `model` a Hugging Face id, a folder with config.json and weights, or"
    f" {DEMO_NAME!r}",
    "adapter": "give `adapter` the id or the folder of a PEFT adapter",
}


def load_encoder(options: ModelOptions) -> PromptEncoder:
    """Load the configuration and the processor of a checkpoint; no weights are read.

    ModelError if it is not found, neither a model with a language decoder nor an encoder, without a
    chat template, or without the pixel limits that are asked for; `keep` for a model to which the
    mark is a token of its own; or options that have no meaning for an encoder.
    """
    options = with_recipe(options)
    name, recipe = str(options.model), read_recipe(options.embedding)
    code = load_own_code(str(options.model_code)) if options.model_code else NO_CODE
    with explained("model", name):
        _require_hub(options)
        # fails at once where the checkpoint is absent
        path = cached_file(options.path, "config.json", revision=options.revision)
        config = AutoConfig.from_pretrained(options.path, **options.source)
        kind = _kind(config)
    if code.find_heads is None:
        require_decoder_only(name, config)
    if config.model_type in MODEL_TYPES:
        require_mistral(name)
    with explained("model", name):
        text_only = kind is AutoModelForCausalLM
        reader = AutoTokenizer if text_only else AutoProcessor
        if kind is AutoModel and not is_dual(config):
            reader = AutoImageProcessor
        processor: Any = reader.from_pretrained(options.path, **options.source)
        files = prompt_files(options, processor, _commit(path))
        if config.model_type in MODEL_TYPES:
            processor = MistralProcessor(processor)
    adapter_files = None
    if options.adapter is not None:
        with explained("adapter", str(options.adapter)):
            adapter_files = adapter_digest(str(options.adapter))
    encoder = PromptEncoder(
        options=replace(options, revision=_commit(path) or options.revision),
        processor=processor,
        kind=kind,
        config=config,
        revision=_commit(path),
        files=files,
        adapter_files=adapter_files,
    )
    if kind is AutoModel:
        length = text_limit(name, config, processor) if is_dual(config) else None
        to_inputs = inputs_of(config, length)
        encoder = replace(encoder, to_inputs=to_inputs, reads_prompts=False, text_tokens=length)
        _require_plain(encoder, options)
        _limit_pixels(name, processor, options.pixels)
        return encoder
    _limit_pixels(name, processor, options.pixels)
    form = find_form(options.prompt_template, str(config.model_type), processor)
    needs_image = config.model_type in NEEDS_IMAGE
    to_inputs = code.to_inputs or (pictured_inputs if needs_image else chat_inputs)
    if recipe is not None:
        _require_recipe_fits(name, recipe, config, processor)
        form, to_inputs = recipe.form, partial(embedding_inputs, recipe=recipe)
    if options.engine == VLLM:
        to_inputs = partial(worded_prompts, needs_image=needs_image)
    mark = None
    if form is not None:
        mark = (recipe and recipe.image_mark) or _image_mark(config, processor)
        start = begin_text(processor) if text_only else ""
        processor.chat_template = form.chat_template(mark, start)
    elif code.to_inputs is None and getattr(processor, "chat_template", None) is None:
        raise ModelError(
            f"{name} has no chat template, so its prompt form is unknown; give it as"
            f" `prompt_template` {EXAMPLE}, or put a chat_template.jinja with its config.json and"
            " give the folder as `model`"
        )
    require_plain_mark(name, processor, options.placeholders)
    return replace(
        encoder,
        to_inputs=to_inputs,
        code=code,
        form=form,
        image_mark=mark,
        embedding=recipe,
    )


def _require_recipe_fits(name: str, recipe: EmbeddingRecipe, config: Any, processor: Any) -> None:
    """Raise ModelError if a recipe is of other models."""
    if recipe.model_types and config.model_type not in recipe.model_types:
        raise ModelError(
            f"`embedding` is a recipe of {' and '.join(recipe.model_types)}, and {name} is"
            f" {config.model_type}; give the recipe of this model, or a .toml file"
        )
    if getattr(processor, "image_processor", None) is None:
        raise ModelError(f"{name} reads no images, as an embedding recipe does; drop `embedding`")
    require_tokens(name, recipe, processor.tokenizer)


def _image_mark(config: Any, processor: Any) -> str | None:
    """Return an image as the checkpoint's own chat template writes it, or its image token.

    None if the processor puts the image in front, empty for a tokenizer of text.
    """
    if config.model_type in IN_FRONT:
        return None
    places = media_places(processor)
    mark = places.mark_of(IMAGE) if places else None
    return mark or str(getattr(processor, "image_token", None) or "")


def _require_hub(options: ModelOptions) -> None:
    """Raise OSError if a checkpoint is neither here nor can be fetched."""
    if Path(options.path).is_dir():
        return
    try:
        cached = try_to_load_from_cache(options.path, "config.json", revision=options.revision)
    except HFValidationError:  # no id of the hub has this form, which is said later
        return
    if not isinstance(cached, str) and (problem := hub_problem()):
        raise OSError(f"it was not fetched before, and {problem}")


def _commit(path: str | None) -> str | None:
    snapshot = re.search(r"/snapshots/([0-9a-f]{40})/", Path(path or "").as_posix())
    return snapshot[1] if snapshot else None


def _kind(config: Any) -> Any:
    """Return the class that loads a checkpoint; code that comes with it may know more of them."""
    remote = getattr(config, "auto_map", None) or {}
    is_plain = not getattr(config, "is_encoder_decoder", False)
    for kind in (*KINDS, *([AutoModelForSeq2SeqLM] if is_plain else [])):  # Audio Flamingo's name
        if type(config) in kind._model_mapping or kind.__name__ in remote:
            return kind
    if is_dual(config) or is_image_encoder(config):
        return AutoModel
    raise ValueError(
        f"{type(config).__name__} is no architecture with a language decoder, and no encoder of"
        " images, that this transformers release can load"
    )


def _require_plain(encoder: PromptEncoder, options: ModelOptions) -> None:
    """Refuse options that mean nothing for an encoder."""
    values = {
        "`placeholders`": options.placeholders != SPLIT,
        "`prompt_template`": options.prompt_template,
        "`model_code`": options.model_code,
        "`embedding`": options.embedding,
    }
    for option in (option for option, value in values.items() if value):
        raise ModelError(
            f"{encoder.name} is {encoder.kind_name}: it reads an image without a prompt, and has no"
            f" attention heads to find; drop {option}"
        )


def _limit_pixels(name: str, processor: Any, pixels: Mapping[str, int]) -> None:
    """Set the limits in a processor that has them: there its size means pixels, not edges."""
    images = getattr(processor, "image_processor", None)
    for key, value in pixels.items():
        if key not in getattr(getattr(images, "valid_kwargs", None), "__annotations__", {}):
            raise ModelError(f"the image processor of {name} has no pixel limits; drop `{key}`")
        edge = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}[key]
        sizes: Any = images
        sizes.size = type(sizes.size)(**{**dict(sizes.size), edge: value})


@contextmanager
def explained(kind: str, name: str) -> Iterator[None]:
    """Keep transformers quiet while it loads a `kind`; what it raises becomes one line."""
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
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return text.rstrip(".:")


def _remedy(kind: str, error: Exception) -> str:
    text = str(error)
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return "it needs more memory: a larger GPU, `device` auto over several, or `model_kwargs`"
    if "401 Unauthorized" in text or "Invalid credentials" in text:
        return "the hub refuses the token; set HF_TOKEN to a valid one"
    if "gated" in text.lower():
        return "ask for access on its page, then set HF_TOKEN"
    if "trust_remote_code" in text:
        return "if you trust the code that comes with it, give `trust_remote_code`"
    if "FlashAttention" in text or "Flash Attention" in text:
        return f"{FLASH_NEEDS}, or give `attention` {AUTO}"
    if "attn_implementation" in text:
        return f"give `attention` one of these values, or {AUTO}"
    if isinstance(error, PickledWeightsError):
        return (
            "weights in other files, such as pytorch_model.bin, may run code and are not loaded:"
            " load and save it once with transformers (`save_pretrained` writes safetensors), and"
            f" give that folder as `{kind}`"
        )
    if isinstance(error, ImportError):
        return "install the named package"
    return f"{USUAL[kind]} (offline, only what was fetched before can be loaded)"


def load(
    options: ModelOptions,
    encoder: PromptEncoder,
    placement: Placement,
    last_layer: int | None = None,
) -> LoadedModel:
    """Load the weights of a checkpoint whose processor is loaded; see `ModelRun.load`.

    With `last_layer`, where `can_end_early` says so, the decoder layers after it are absent.

    Raises
    ------
    ModelError
        Not found, neither a model with a language decoder nor an encoder, without a chat template,
        or without heads; or `keep` for a model to which the mark is a token of its own.
    """
    name, keywords = str(options.model), dict(options.model_kwargs or {})
    with explained("model", name):
        weights = weight_files(weight_paths(options, encoder.config, encoder.revision))
        kind = encoder.kind
        # else transformers reads a pickle where an index is damaged, and converts it by a service
        safe = {} if "gguf_file" in keywords else {"use_safetensors": True}
        # else transformers downloads code for a GPU, and features differ from a CPU's by it
        kernels = {"use_kernels": "kernel_config" in keywords}
        if last_layer is not None:
            kind = first_layers(kind._model_mapping[type(encoder.config)], last_layer)
        model_and_report: Any = kind.from_pretrained(
            options.path,
            dtype=options.dtype,
            attn_implementation=None if options.attention == AUTO else options.attention,
            output_loading_info=True,
            **options.source,
            **kernels | placement.keywords | keywords | safe,
        )
        model, report = model_and_report
    weights.require_unchanged(name)
    if "flash" in options.attention and model.dtype not in (torch.bfloat16, torch.float16):
        raise ModelError(  # else every example would fail
            f"`attention` is {options.attention}, which computes in bfloat16 and float16, and the"
            f" model is in {str(model.dtype).removeprefix('torch.')}; give `dtype` bfloat16, or"
            f" `attention` {AUTO}"
        )
    absent = [*report["missing_keys"], *report["mismatched_keys"]]
    if encoder.embedding is not None:
        absent = [weight for weight in absent if not str(weight).startswith(HEAD)]
    _require_weights(name, absent)
    if options.adapter is not None:
        _put_on(model, str(options.adapter))
    model.eval()
    settings = model_settings(options, encoder)
    if code := code_digest(model, model.config, encoder.processor, encoder.tokenizer):
        settings[CODE] = code
    if not encoder.reads_prompts:
        tower = Tower(encoder.name, model)
        loaded = LoadedModel(model, encoder, (), settings, weights, tower)
        widths = tower.widths(lambda: loaded.placed(encoder.encode([(tower.sample,)])))
        points = tuple(
            HookPoint(
                LayerGrid(layer, (0,), width),
                tower,
                is_output=True,
                pool=partial(tower.output, layer, width),
            )
            for layer, width in widths.items()
        )
        settings |= tower.facts([*widths])
        return replace(loaded, hook_points=points, settings=settings)
    if encoder.embedding is not None:
        layer = output_layer(name, model)
        pool = partial(embeddings, encoder.embedding, encoder.tokenizer)
        points = (HookPoint(LayerGrid(0, (0,), layer.in_features), layer, pool=pool),)
    elif encoder.code.find_heads is not None:
        points = encoder.code.hook_points(model)
    else:
        points = find_hook_points(model)
    return LoadedModel(model, encoder, points, settings, weights)


def can_end_early(options: ModelOptions, encoder: PromptEncoder, last_layer: int) -> bool:
    """Return whether `load` can leave out the layers of a checkpoint after `last_layer`.

    Not if there are none, or the configuration does not say how many there are; not with an
    adapter, which has weights for all layers, in vLLM, with code of the user or of the checkpoint,
    where the user places the layers, for outputs of an encoder or embedder, and in a quantised
    model: which modules stay as they are depends on the last ones.
    """
    arguments = options.model_kwargs or {}
    layers = getattr(encoder.config.get_text_config(), "num_hidden_layers", None)
    return (
        encoder.has_heads
        and options.engine != VLLM
        and isinstance(layers, int)
        and last_layer + 1 < layers
        and type(encoder.config) in encoder.kind._model_mapping
        and not getattr(encoder.config, "auto_map", None)
        and options.adapter is None
        and encoder.code.find_heads is None
        and not {"device_map", "quantization_config"} & arguments.keys()
        and getattr(encoder.config, "quantization_config", None) is None
    )


def _require_weights(name: str, absent: Iterable[Any]) -> None:
    if missing := sorted(map(str, absent)):
        leave_out = ""
        if all(POOLER in weight.split(".") for weight in missing):
            leave_out = ', or leave the pooler out: `model_kwargs` {"add_pooling_layer": false}'
        raise ModelError(
            f"{len(missing)} weights of {name} are not in its files, or not of their shape, and"
            f" would be random: {first_few(missing, MOST_NAMES)}; get the whole checkpoint"
            f"{leave_out}"
        )


def _put_on(model: Any, adapter: str) -> None:
    """Put a PEFT adapter on a model, all of it: what does not fit would be random, or left out."""
    with explained("adapter", adapter):
        report = model.load_adapter(adapter)
    wrong = sorted({*report.missing_keys, *report.unexpected_keys})
    if wrong:
        raise ModelError(
            f"adapter {adapter} does not fit the model: {len(wrong)} weights are in the adapter"
            f" or the model only: {wrong[0]} ...; give `adapter` one that was trained on this model"
        )
