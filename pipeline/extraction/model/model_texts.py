"""What the texts of `--recipe` and `--model-kwargs` mean, see `option_texts.py`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savs.foundation.bounds import whole_number
from savs.pipeline.encoders.recipe import recipe_names
from savs.pipeline.running.option_texts import Fields

PROMPT_MARK = "{prompt}"


def parse_recipe(text: str) -> Fields:
    """Return what says how a model is prompted and read: a text, a recipe, or Python code.

    >>> parse_recipe("Question: {prompt} Answer:"), parse_recipe("mine.py")
    ({'prompt_template': 'Question: {prompt} Answer:'}, {'model_code': 'mine.py'})
    """
    if PROMPT_MARK in text:
        return {"prompt_template": text}
    if text.endswith(".toml") or text in recipe_names():
        return {"embedding": text}
    if text.endswith(".py") or text.isidentifier():  # or the name that an installed package gave it
        return {"model_code": text}
    if Path(text).is_file():
        return {"prompt_template": text}
    raise ValueError(
        f"expected a text with {PROMPT_MARK} or a file with one, a recipe of an embedding"
        f" ({', '.join(recipe_names())}, or FILE.toml), or code (FILE.py)"
    )


def write_recipe(values: Mapping[str, Any]) -> str:
    """Return the text of the fields of `parse_recipe`."""
    return next(
        str(values[n]) for n in ("prompt_template", "embedding", "model_code") if n in values
    )


def parse_code(text: str) -> str:
    """Return a file of code; ValueError for another recipe, which a classifier records."""
    fields = parse_recipe(text)
    if "model_code" not in fields:
        raise ValueError("expected code, FILE.py: the classifier records its other recipes")
    return text


SPELLED = {"attn_implementation": "attention", "min_pixels": "min_pixels"}
"""Argument of `from_pretrained` -> the field that it fills."""


def parse_kwargs(text: str) -> Fields:
    """Return arguments of `from_pretrained`, and the fields that some of them stand for."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"which is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("expected an object such as {}")
    if isinstance(value.get("max_memory"), dict):  # JSON has no numbers as keys, devices have
        value["max_memory"] = {
            device if (number := whole_number(device)) is None else number: limit
            for device, limit in value["max_memory"].items()
        }
    fields = {field: value.pop(name) for name, field in SPELLED.items() if name in value}
    if not isinstance(fields.get("min_pixels", 1), int) or fields.get("min_pixels", 1) < 1:
        raise ValueError("expected min_pixels to be a number from 1 on")
    if not isinstance(fields.get("attention", ""), str):
        raise ValueError("expected attn_implementation to be a name, such as eager")
    return {"model_kwargs": value} | fields


def write_kwargs(values: Mapping[str, Any]) -> str:
    """Return the text of the fields of `parse_kwargs` that a store records."""
    return json.dumps({name: values[f] for name, f in SPELLED.items() if f in values})
