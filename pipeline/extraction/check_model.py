"""The whole proof on drawn scenes: what `savs models CHECKPOINT` runs."""

import random
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from savs.datasets.benchmarks.shapes.scenes import CANVASES, draw, random_scene
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.decisions import (
    IN_RUNS,
    LOOP,
    OFF,
    TOWER_WORDS,
    WORDS,
    questions_about,
    sharing_ways,
    tower_ways,
)
from savs.pipeline.extraction.checks.trial import (
    DEAD,
    TOLERANCES,
    Single,
    Trial,
    choose,
    distance,
    run_single,
)
from savs.pipeline.extraction.model.hook_points import missing_sites
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.sites import NAMES
from savs.pipeline.extraction.model.vllm_model import vllm_support
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.prompts.media.catalogue import INPUTS, images_in, inverted
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.prompts.media_places import media_places
from savs.pipeline.running.formatting import format_bytes
from savs.stores.format.layout import IMAGE_OUTPUTS

LONG = " Look at every part of the picture, one after the other, before you answer." * 3
SAME_FEATURES = "the store has the features of this model, as far as rounding allows"


@dataclass(frozen=True, slots=True)
class Check:
    """One claim about a model, and whether it holds."""

    name: str
    passed: bool | None
    """None if the claim does not apply to this model."""
    what: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found out about a model."""

    facts: dict[str, str]
    checks: tuple[Check, ...]
    batch_size: int | None
    """The largest batch that gives what single examples give, 1 where none does; None if the
    model was compared with a store."""

    @property
    def passed(self) -> bool:
        """Whether every check that applies holds."""
        return all(check.passed is not False for check in self.checks)

    @property
    def verdict(self) -> str:
        """One sentence for the user."""
        failed = [check.name for check in self.checks if check.passed is False]
        if self.batch_size is None:
            differs = "beyond rounding: do not use them together"
            return f"the store and this model differ {differs}" if failed else SAME_FEATURES
        if not failed:
            return f"features can be trusted, in batches of up to {self.batch_size}, too"
        if all(name.startswith("batches of") for name in failed):
            return f"batches change the features: extract with --batch-size {self.batch_size}"
        return f"do not trust this model's features: {', '.join(failed)}"

    def to_json(self) -> dict[str, Any]:
        """Return the form that `savs models CHECKPOINT --json` prints."""
        return {
            "facts": self.facts,
            "checks": [asdict(check) for check in self.checks],
            "batch_size": self.batch_size,
            "passed": self.passed,
            "verdict": self.verdict,
        }


def sample_prompts(count: int, images: int = 2, *, without: bool = True) -> list[Pieces]:
    """Return prompts of many lengths: one image, several up to `images`, and text `without`."""
    rng = random.Random("savs check-model")
    prompts: list[Pieces] = [("Is the sky blue? Answer with Yes or No.",)] if without else []
    while len(prompts) < count:
        number = len(prompts)
        scenes = [
            draw(random_scene(rng, canvas=CANVASES[(number + i) % len(CANVASES)]))
            for i in range(min(images, 1 + number % 2))
        ]
        text = f"What do you see in picture {number}?" + LONG * (number % 3 == 1)
        prompts.append((*scenes, text))
    return prompts


def check_up(options: ModelOptions, batch_size: int) -> Checkup:
    """Load a model and test it on drawn scenes, see `check_model`."""
    run = ModelRun(options, RunOptions())
    model = run.load()
    prompts = sample_prompts(max(batch_size, 6), images_a_turn(model), without=takes_text(model))
    prompts = list(map(run.encoder.pieces_read, prompts))
    sizes = [2**n for n in range(1, batch_size.bit_length()) if 2**n < batch_size] + [batch_size]
    checks = prove(model, prompts, sizes)
    good = [size for size, check in zip(sizes, checks[-len(sizes) :], strict=True) if check.passed]
    pictures = pictures_of(prompts)
    facts = model_description(model)
    if model.encoder.has_heads:
        facts["vLLM"] = vllm_support(type(model.model).__name__)
    if not model.encoder.reads_prompts:
        return Checkup(facts, tuple(checks), max(good, default=1))
    others = check_other_kinds(model)
    checks += others
    if any(check.passed is False for check in others):
        good = []
    tower = choose(LOOP, tower_ways(Trial(model, pictures), IN_RUNS, len(pictures)))
    sharing = choose(OFF, sharing_ways(model, questions_about(run.encoder, pictures)))
    why = f" ({sharing.seen})" if sharing.name == OFF else ""
    facts |= {
        "vision tower": f"{TOWER_WORDS[tower.name]} ({tower.seen})",
        "prompts about one image": WORDS[sharing.name] + why,
    }
    return Checkup(facts, tuple(checks), max(good, default=1))


def check_batches(trial: Trial, size: int) -> Check:
    """Check that prompts in batches of a size give what they give by themselves.

    As in an extraction, a batch has one shape, see `shape_of`. A head moves where its distance from
    the single example is beyond rounding; its vote changes where the batched feature is nearer to
    another example than to its own.
    """
    verdict = trial.in_batches(size)
    return Check(f"batches of {size} equal single examples", verdict.same, verdict.seen)


def check_reading(model: LoadedModel, pieces: Pieces, single: Single) -> Check:
    """Check the heads against the whole input of every output projection in a full forward pass."""
    name = "heads are the projection's input"
    if not model.encoder.has_heads:
        return Check(name, None, f"{model.encoder.kind_name} has outputs and no heads")
    seen: dict[int, torch.Tensor] = {}
    handles = [
        point.module.register_forward_pre_hook(partial(_keep, seen, point.grid.layer))
        for point in model.hook_points
    ]
    inputs = model.placed(model.inputs([pieces]))
    try:
        with torch.inference_mode():
            model.model(**inputs, use_cache=False)
    except Exception:  # how some model returns its logits is no matter of the heads
        if len(seen) < len(model.hook_points):
            raise
    finally:
        for handle in handles:
            handle.remove()
    place, worst = 0, 0.0
    for point in model.hook_points:
        count, width = len(point.grid.heads), point.grid.head_dim
        last = seen[point.grid.layer][0, -1].float().cpu().numpy()
        if last.size != count * width:
            what = f"layer {point.grid.layer}: {count} heads x {width} are not {last.size} values"
            return Check(name, False, what)
        ours = single.heads[place : place + count, :width]
        worst = max(worst, distance(last.reshape(count, width), ours))
        place += count
    limit = TOLERANCES[model.dtype]
    what = f"{place} heads, greatest distance {worst:.1e}"
    return Check(name, bool(worst <= limit), what)


def _keep(
    seen: dict[int, torch.Tensor], layer: int, _module: Any, inputs: tuple[torch.Tensor, ...]
) -> None:
    seen[layer] = inputs[0].detach()


def check_media(kind: MediumKind, single: Single, changed: Single | None) -> Check:
    """Check that another medium of the same size, such as an image, gives other features."""
    name = f"the {kind.noun} reaches the heads"
    if changed is None:
        return Check(name, None, f"no prompt with {kind.a_noun} was run")
    moved = distance(single.heads, changed.heads)
    return Check(name, moved > 0, f"another {kind.noun} moves a head by up to {moved:.1e}")


def check_values(singles: Sequence[Single]) -> list[Check]:
    """Check that features are finite, and count the heads that say nothing."""
    values = np.stack([single.heads for single in singles])
    finite = bool(np.isfinite(values).all())
    lengths = np.linalg.norm(values, axis=2).max(axis=0)
    dead = int((lengths <= DEAD).sum())
    same = int((np.ptp(values, axis=0).max(axis=1) <= DEAD).sum()) if len(singles) > 1 else 0
    return [
        Check(
            "features are finite",
            finite,
            f"{values.size:,} values" if finite else "NaN or infinity; give `dtype` float32",
        ),
        Check(
            "heads differ between prompts",
            same < len(lengths),
            f"{len(lengths)} heads, {dead} dead, {same} the same for every prompt",
        ),
    ]


def prove(model: LoadedModel, prompts: Sequence[Pieces], sizes: Sequence[int]) -> list[Check]:
    """Run all checks on some prompts, alone and in batches.

    Of the prompts there are at least two, of different lengths: text only, one image, several,
    sounds. Batches have the `sizes`. ModelError if a prompt cannot be run by itself.
    """
    trial = Trial(model, prompts)
    singles = trial.singles
    by_length = sorted(range(len(prompts)), key=lambda i: singles[i].tokens)
    longest = by_length[-1]
    checks = [check_reading(model, prompts[longest], singles[longest])]
    checks += check_values(singles)
    for kind, inputs in INPUTS.items():
        # the shortest with one: attention windows may end before the start of a long one
        number = next((i for i in by_length if inputs.among(prompts[i])), None)
        changed = None if number is None else run_single(model, inverted(prompts[number]))
        if number is not None or kind is IMAGES:
            checks.append(check_media(kind, singles[number or 0], changed))
    for size in sizes:
        try:
            checks.append(check_batches(trial, size))
        except (ModelError, ValueError, RuntimeError) as error:
            checks.append(Check(f"batches of {size} equal single examples", False, str(error)))
    return checks


def check_other_kinds(model: LoadedModel) -> list[Check]:
    """Return the checks of media that are no images, such as sounds, which the model reads."""
    checks: list[Check] = []
    for kind, inputs in INPUTS.items():
        if not model.encoder.takes(kind):
            continue
        prompts = [
            (piece, text + LONG * (number % 3 == 1))
            for number, (piece, text) in enumerate(inputs.trials(model.encoder.processor))
        ]
        if prompts:
            proved = prove(model, prompts, [2, len(prompts)])
            checks += [check for check in proved if kind.noun in check.name]
            checks += [
                replace(check, name=check.name.replace(" equal", f" {kind.noun}s equal"))
                for check in proved[-2:]
            ]
    return checks


def pictures_of(prompts: Sequence[Pieces]) -> list[Pieces]:
    """Return those prompts that have one image."""
    return [pieces for pieces in prompts if images_in(pieces) == 1]


def images_a_turn(model: LoadedModel) -> int:
    """Return how many images the processor takes in one turn: none, 1 or 2."""
    scene = draw(random_scene(random.Random(0)))
    for count in (2, 1):
        try:
            model.inputs([model.encoder.pieces_read((*[scene] * count, "Compare."))])
        except Exception:
            continue
        return count
    return 0


def takes_text(model: LoadedModel) -> bool:
    """Return whether a prompt may be without an image."""
    try:
        model.inputs([("Compare.",)])
    except ValueError:
        return False
    return True


def model_description(model: LoadedModel) -> dict[str, str]:
    """Return the facts about a model that a user should know, name -> value."""
    grids = [point.grid for point in model.hook_points]
    widths = sorted({grid.head_dim for grid in grids})
    wide = f"{' and '.join(map(str, widths))} wide"
    if model.encoder.has_heads:
        layers = int(getattr(model.model.get_decoder().config, "num_hidden_layers", len(grids)))
        missing = missing_sites(model.model, model.hook_points)
        there = [name for name in NAMES if name not in missing]
        read = {
            "heads": f"{sum(len(g.heads) for g in grids)} in {len(grids)} layers, {wide}",
            "layers without heads": str(layers - len(grids)),
            "sites": "; ".join([", ".join(there), *missing.values()]),
        }
    else:
        other = "of either tower" if model.encoder.is_dual else "the embedding"
        what = model.settings.get(IMAGE_OUTPUTS, {"L0.H0": other})
        read = {"outputs": "; ".join(f"{head} {is_}" for head, is_ in what.items()) + f"; {wide}"}
    facts = {
        "model": f"{model.name} ({type(model.model).__name__})",
        "processor": type(model.encoder.processor).__name__,
        **read,
        "computes in": f"{model.dtype} on {model.device}, {model.attention} attention",
        "peak memory": format_bytes(_peak_bytes(model)),
    }
    places = media_places(model.encoder.processor)
    if places is not None and model.encoder.code.to_inputs is None:
        facts["images at their marks"] = places.describe()
    return facts


def _peak_bytes(model: LoadedModel) -> int:
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
