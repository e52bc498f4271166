"""What is tried on one architecture: its heads, alone and in batches, by our own proof."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, BatchFeature

from families.reasons import ENCODER_DECODER, REASONS, SOUNDS
from families.shrinking import shrink
from savs.datasets.benchmarks.shapes.scenes import CANVASES, draw, random_scene
from savs.datasets.media_kinds.decoders.videos import Video
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.check_model import (
    check_other_kinds,
    images_a_turn,
    pictures_of,
    prove,
    sample_prompts,
    takes_text,
)
from savs.pipeline.extraction.checks.decisions import OFF, questions_about, sharing_ways
from savs.pipeline.extraction.checks.trial import choose
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.hook_points import find_hook_points, find_site_points
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.sites import NAMES, Site
from savs.pipeline.prompts.media.catalogue import images_in
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.prompts.media_places import media_places, takes

VERIFIED, TEXT, UNTESTED, UNSUPPORTED = "verified", "verified (text)", "untested", "unsupported"
ONE_BY_ONE = "one by one"
READ = "read"
PROMPTS = (("Short.",), ("One that is rather longer.",), ("In between.",))
NOTHING: Mapping[str, str] = MappingProxyType({})
FIRST_WORD = 10
"""Ids below it are control tokens in a small vocabulary."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of trying an architecture."""

    family: str
    model: str
    status: str
    what: str
    sharing: str = ""
    """What prompts about one image share, see `sharing_ways`; empty where that was not tried."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """Kind of media -> `verified`, `one by one` where batches differ, or `untested`."""
    sites: Mapping[str, str] = field(default_factory=dict)
    """Site -> `READ`, or why it cannot be read; nothing where no model ran."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that families.json holds."""
        return {
            "family": self.family,
            "class": self.model,
            "status": self.status,
            "what": self.what,
            "sharing": self.sharing,
            "reads": dict(self.reads),
            "sites": dict(self.sites),
        }


def try_structure(family: str, model_class: str) -> Outcome:
    """Try a small random model on text: without a processor its images cannot be."""

    def outcome(status: str, what: str, reads: Mapping[str, str] = NOTHING) -> Outcome:
        readable = {"sounds": UNTESTED} if family in SOUNDS else reads
        return Outcome(family, model_class, status, REASONS.get(family, what), reads=readable)

    torch.manual_seed(0)
    try:
        config = CONFIG_MAPPING[family]()
        if getattr(config, "is_encoder_decoder", False):
            return outcome(UNSUPPORTED, ENCODER_DECODER)
        config = shrink(config)
        model: Any = AutoModelForImageTextToText.from_config(config).float().eval()
    except Exception as error:  # each configuration has its own
        return outcome(UNTESTED, f"no small model can be made: {_line(error)}")
    try:
        points = find_hook_points(model)
    except ModelError as error:
        return outcome(UNSUPPORTED, _line(error))
    is_typed = "token_type_ids" in signature(model.forward).parameters
    to_inputs = partial(_text, is_typed=is_typed)
    loaded = LoadedModel(model, PromptEncoder(ModelOptions(model=family), None, to_inputs), points)
    try:
        checks = prove(loaded, PROMPTS, [len(PROMPTS)])
    except Exception as error:  # many need an image
        return outcome(UNTESTED, f"text alone does not run: {_line(error)}")
    failed = [f"{check.name}: {check.what}" for check in checks if check.passed is False]
    if failed:
        return outcome(UNSUPPORTED, "; ".join(failed))
    heads = sum(len(point.grid.heads) for point in points)
    text_outcome = outcome(
        TEXT,
        f"{heads} heads in {len(points)} layers of a small random model read text; images need a"
        " small checkpoint with its processor",
        {"images": UNTESTED},
    )
    return replace(text_outcome, sites=read_sites(loaded, PROMPTS))


def try_whole(family: str, folder: Path, limit: str = "") -> Outcome:
    """Try a small checkpoint with its real processor: text, one image, two where it takes them.

    `limit` says in which way the family does not work.
    """
    loaded = load_model(str(folder), dtype="float32")
    images = images_a_turn(loaded)
    text = takes_text(loaded)
    prompts = sample_prompts(6, images, without=text)
    checks = prove(loaded, prompts, [2, 6])
    failed = [f"{check.name}: {check.what}" for check in checks if check.passed is False]
    model_class = type(loaded.model).__name__
    if failed:
        return Outcome(family, model_class, UNSUPPORTED, "; ".join(failed))
    seen = {0: "text only", 1: "text and one image", 2: "text, one and several images"}[images]
    what = seen if text else seen.replace("text, ", "").replace("text and ", "")
    reads = {"images": VERIFIED} if images else {}
    if takes(loaded.encoder.processor, VIDEOS):
        videos = prove(loaded, video_prompts(), [2, 4])
        wrong = [f"{check.name}: {check.what}" for check in videos if check.passed is False]
        what += f", no videos ({'; '.join(wrong)})" if wrong else ", videos"
        reads |= {} if wrong else {"videos": VERIFIED}
    if sounds := check_other_kinds(loaded):
        wrong = [check for check in sounds if check.passed is False]
        batches = all(check.name.startswith("batches of") for check in wrong)
        if wrong and not batches:
            what += f", no sounds ({'; '.join(check.what for check in wrong)})"
        else:
            reads["sounds"] = ONE_BY_ONE if wrong else VERIFIED
            what = what.removesuffix(" only") + ", sounds"
    processor = type(loaded.encoder.processor).__name__
    sharing = ""
    if images:
        questions = questions_about(loaded.encoder, pictures_of(prompts))
        sharing = choose(OFF, sharing_ways(loaded, questions)).name
    places = media_places(loaded.encoder.processor)
    has_template = loaded.encoder.form is None
    moved = "; its template moves images" if has_template and places and places.moves() else ""
    limited = f"; {limit}" if limit else ""
    formed = "" if has_template else "; its prompt form is built in"
    what = f"{what}, with {processor}, in batches{moved}{formed}{limited}"
    pictured = [pieces for pieces in prompts if images_in(pieces)] or prompts
    sites = read_sites(loaded, pictured[:1])
    return Outcome(family, model_class, VERIFIED, what, sharing, reads, sites)


def read_sites(model: LoadedModel, prompts: Sequence[Pieces]) -> dict[str, str]:
    """Read each site of a model; return `READ`, or why it cannot be read.

    Small models of mixtures may have too few experts for a pass to the end.
    """
    results = {}
    for name in NAMES:
        try:
            points = find_site_points(model.model, model.hook_points, [Site(name)])
            replace(model, hook_points=points).read(model.inputs(prompts))
            results[name] = READ
        except ModelError as error:
            results[name] = str(error)
        except RuntimeError as error:
            results[name] = f"{UNTESTED}: the small model does not run to the end: {_line(error)}"
    return results


def video_prompts() -> list[Pieces]:
    """Return prompts with videos of drawn scenes, of two and of four frames."""
    rng = random.Random("videos")
    canvas = CANVASES[0]

    def video(frames: int) -> Video:
        images = tuple(draw(random_scene(rng, canvas=canvas)) for _ in range(frames))
        return Video(images, tuple(place / 2 for place in range(frames)), frames / 2)

    texts = ("What happens?", "What do you see in it, from its beginning to its end?") * 2
    return [(video(2 + number // 2 * 2), text) for number, text in enumerate(texts)]


def _text(_processor: Any, prompts: Sequence[Pieces], *, is_typed: bool) -> BatchFeature:
    """Return texts as made-up tokens, one a character, padded on the left.

    Models with types of tokens get those of a prompt's text, as their processors give them:
    PaliGemma's prompt attends to itself in both directions.
    """
    rows = [[FIRST_WORD + ord(c) % 200 for c in str(pieces[0])] for pieces in prompts]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    types = {"token_type_ids": torch.zeros_like(ids)} if is_typed else {}
    return BatchFeature({"input_ids": ids, "attention_mask": mask, **types})


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]
