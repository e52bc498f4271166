"""What a run decides by trying it on a few of the user's own prompts, and what a store records."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec

from savs.pipeline.extraction.batches.jobs import BatchLimits
from savs.pipeline.extraction.checks.batch_equality import TOGETHER, Trial, batch_ways
from savs.pipeline.extraction.checks.cached_answers import (
    ANSWER_WORDS,
    CACHED,
    NO_ANSWERS_KEPT,
    WHOLE,
    cache_ways,
)
from savs.pipeline.extraction.checks.flash import (
    FLASH,
    WITH_TOWER,
    attention_of,
    flash_ways,
    require_masks,
)
from savs.pipeline.extraction.checks.sharing import (
    IMAGES,
    LEVELS,
    OFF,
    PREFIXES,
    UNNEEDED,
    WORDS,
    Questions,
    questions_about,
    sharing_ways,
)
from savs.pipeline.extraction.checks.tokens import ASKED, FIXED, TokenMeter
from savs.pipeline.extraction.checks.towers import (
    AUTO,
    COMPUTED,
    GIVEN,
    IN_RUNS,
    LOOP,
    TOWER_WORDS,
    host_ways,
    require_runs,
    tower_ways,
)
from savs.pipeline.extraction.checks.ways import NOTHING_COMPARED, Choice, choose
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.tower_attention import SDPA
from savs.pipeline.extraction.run_options import DEFAULT_BATCH_SIZE, RunOptions
from savs.pipeline.prompts.pieces import Pieces

ALONE, ANYHOW, UNCOMPARED = "alone", "anyhow", "uncompared"
"""How examples run where batches change features, by `strict` and by `warn`, and where that is not
known: the last two in batches."""
DEFAULTS: Mapping[str, Any] = {
    "batch_size": DEFAULT_BATCH_SIZE,
    "batch_check": "strict",
    "reuse": "auto",
    "tower_attention": AUTO,
}
"""Options on which choices depend."""
BY_FLASH = "attention by {name}: {seen}"
NOTES = {
    ("batches", TOGETHER): "batches do not change this model's features: {seen}",
    ("batches", ALONE): "batches change this model's features ({seen}): running single examples"
    " instead; savs models CHECKPOINT says more",
    ("batches", ANYHOW): "batches change this model's features ({seen}); going on anyhow",
    **{("attention", name): BY_FLASH for name in FLASH},
    **{("attention", name + WITH_TOWER): BY_FLASH for name in FLASH},
    ("tower", IN_RUNS): f"in the vision tower {TOWER_WORDS[IN_RUNS]}: {{seen}}",
    ("sharing", PREFIXES): WORDS[PREFIXES],
    **{("sharing", level): f"{WORDS[level]}: {{seen}}" for level in (IMAGES, OFF)},
    **{("answers", name): f"{words}: {{seen}}" for name, words in ANSWER_WORDS.items()},
}
"""Decision and way -> what a user should know."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How examples are put together in batches; a store records it, and later runs do the same."""

    batch_size: int
    """Examples of a batch at most, where they run in batches."""
    batch_tokens: int
    """Tokens of a batch at most, padding included."""
    batch_check: str
    """What was asked for: `strict`, `warn` or `off`."""
    reuse: str
    """What was asked for: `auto` or `off`."""
    tower_attention: str
    """What was asked for: `auto`, `runs` or `loop`."""
    raw_pixels: bool
    """Whether pixels are normalised on the model's device, see `PixelScale`."""
    attention: Choice
    """That of the decoder in transformers' names, and whether the vision tower runs by it, too."""
    tower: Choice
    """`runs` or `loop`."""
    host_inputs: Choice
    """`given` to the model or `computed` by it, from the sizes of images, see `host_inputs`."""
    batches: Choice
    """`together`, `alone`, `anyhow` or `uncompared`."""
    answers: Choice
    """`cached`, `whole` or `none`."""
    sharing: Choice
    """What prompts about the same images share: one of `LEVELS`, `off` or `unneeded`."""
    tokens: Choice
    """How `batch_tokens` were found: `asked`, `measured` or `fixed`."""
    shared_images: int = 0
    """Images of each prompt that shares some."""
    sizes_alone: bool = False
    """Whether the processor needs no pixels to make text, see `knows_sizes`."""

    @property
    def limits(self) -> BatchLimits:
        """How large a batch may be: one example where batches change features."""
        rows = 1 if self.batches.name == ALONE else self.batch_size
        return BatchLimits(rows, self.batch_tokens)

    @property
    def is_compared(self) -> bool:
        """Whether batches were compared with single examples."""
        return self.batches.name != UNCOMPARED

    @property
    def is_warning(self) -> bool:
        """Whether batches change features."""
        return self.batches.name in (ALONE, ANYHOW)

    def notes(self) -> list[str]:
        """Return what a user should know."""
        lines = []
        for decision in ("batches", "attention", "tower", "sharing", "answers"):
            choice: Choice = getattr(self, decision)
            if note := NOTES.get((decision, choice.name)):
                lines.append(note.format(name=attention_of(choice.name), seen=choice.seen))
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return the form that store.json holds, from which `msgspec.convert` makes it again."""
        return asdict(self)


def recorded(
    record: Mapping[str, Any], run: RunOptions, attention: str, *, shared: bool
) -> Batching | None:
    """Return what a store records, or None if it records nothing, or if other options are given.

    `attention` is the option; `shared` says that some images are shown by several prompts, so that
    sharing must be decided.
    """
    try:
        batching = msgspec.convert(record, Batching)
    except msgspec.ValidationError:
        return None
    decided = ("batch_tokens", *DEFAULTS)
    is_same = all(getattr(run, name) in (None, getattr(batching, name)) for name in decided)
    is_same &= attention in (AUTO, attention_of(batching.attention.name))
    is_same &= batching.sharing.name != UNNEEDED or not shared
    return batching if is_same else None


def preflight(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    scale: PixelScale | None,
    run: RunOptions,
    answers: Answers = NO_ANSWERS,
    *,
    shared: bool,
    attention: str = AUTO,
) -> Batching:
    """Choose how to run by running a few prompts, each choice in the ways that were chosen before.

    Prompts run alone as transformers runs them; all else is compared with that. The model's
    attention, and that of its vision tower, stay set as was chosen.

    `scale` is what was found for pixels; `shared` says that some images are shown by several
    prompts. `attention` is the option: one that the user names was loaded with the model.

    Raises
    ------
    ModelError
        The model cannot run as the options say.
    """
    options = {
        name: default if getattr(run, name) is None else getattr(run, name)
        for name, default in DEFAULTS.items()
    }
    rows, check, towers = (options[n] for n in ("batch_size", "batch_check", "tower_attention"))
    trial = Trial(model, prompts)
    if attention == AUTO:
        without_flash = SDPA if model.attention in FLASH else model.attention
        decoder = choose(without_flash, flash_ways(trial, rows, with_tower=towers == AUTO))
    else:
        require_masks(trial, rows)
        decoder = Choice(model.attention, "")
    tower = choose(LOOP, tower_ways(trial, towers, rows))
    require_runs(trial, towers, tower)
    host_inputs = choose(COMPUTED, host_ways(trial, towers, rows))

    tried = batch_ways(trial) if check != "off" and rows > 1 else ()
    batches = choose(ALONE if check == "strict" else ANYHOW, tried, untried=UNCOMPARED)
    answering = Choice(NO_ANSWERS_KEPT, "")
    if answers:
        together = rows > 1 and batches.name != ALONE
        answering = choose(WHOLE, cache_ways(trial, answers, together=together), untried=CACHED)
        answers = replace(answers, whole=answering.name == WHOLE)

    if not shared:
        questions = Questions(refusal="each image has one prompt")
    elif options["reuse"] == OFF:
        questions = Questions(refusal=NOTHING_COMPARED)
    elif batches.name == ALONE:
        questions = Questions(refusal="batches change this model's features")
    else:
        questions = questions_about(model.encoder, prompts)
    one_by_one = rows == 1 or answers.whole or bool(answers.ends)  # nothing is kept after prefixes
    levels = [IMAGES] if one_by_one else LEVELS
    with_inputs = host_inputs.name == GIVEN
    ways = sharing_ways(model, questions, scale, answers, levels, host_inputs=with_inputs)
    sharing = choose(OFF if shared else UNNEEDED, ways)
    if sharing.name not in LEVELS:
        questions = Questions()

    cached = bool(answers) or sharing.name == PREFIXES
    meter = TokenMeter(model, prompts, scale, cached=cached)
    tokens = choose(FIXED, meter.ways()) if run.batch_tokens is None else Choice(ASKED, "")
    return Batching(
        **options,
        batch_tokens=run.batch_tokens or meter.most,
        raw_pixels=scale is not None,
        attention=decoder,
        tower=tower,
        host_inputs=host_inputs,
        batches=batches,
        answers=answering,
        sharing=sharing,
        tokens=tokens,
        shared_images=questions.images,
        sizes_alone=questions.sizes_alone,
    )
