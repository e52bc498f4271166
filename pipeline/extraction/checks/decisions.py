"""What a run decides by trying it on a few of the user's own prompts, and what a store records.

Prompts run by themselves, as transformers runs them; every way to run faster is compared with that:
the vision tower's attention in runs of chunks, what a model would compute from the sizes of images,
batches, answers after a cache, what prompts about the same images share, tokens of a batch.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from msgspec import Meta
from PIL import Image

from savs.datasets.media_kinds.catalogue import images_of
from savs.datasets.rows.media_names import is_packed
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.flash import (
    FLASH,
    WITH_TOWER,
    attention_of,
    flash_ways,
    require_masks,
)
from savs.pipeline.extraction.checks.trial import (
    CHAOS,
    COMPARED,
    NOTHING_COMPARED,
    TOLERANCES,
    Choice,
    Trial,
    UntriedError,
    Verdict,
    Way,
    answers_of,
    batches_of,
    choose,
    compare,
    compare_bits,
    distance,
    error_line,
    read_in_batches,
    read_nudged,
    stacked,
)
from savs.pipeline.extraction.line.jobs import BatchLimits, ImageKey
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.prepare import encode_texts, share_images
from savs.pipeline.extraction.line.shared_forward import SharedForward
from savs.pipeline.extraction.model.answers import NATS, NO_ANSWERS, Answers
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import AUTO
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES, PromptEncoder
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.extraction.model.tower_attention import (
    RUNS,
    SDPA,
    as_loop,
    has_sdpa_tower,
    is_masked,
    set_runs,
)
from savs.pipeline.extraction.run_options import DEFAULT_BATCH_SIZE, RunOptions
from savs.pipeline.prompts.media.catalogue import (
    images_in,
    inverted,
    is_plain,
    map_images,
    shape_of,
)
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.running.option_texts import VLLM

TOGETHER = "together"
"""Name of the way that puts examples into batches."""
IN_RUNS, LOOP = "runs", "loop"
"""Ways of the tower, and values of the option `tower_attention`."""
GIVEN, COMPUTED = "given", "computed"
"""Whether the tower is given what it would compute from the sizes of images."""
TOWER_WORDS = {
    IN_RUNS: "images or windows of one size attend in one call",
    LOOP: "as transformers runs it",
}
CACHED, WHOLE = "cached", "whole"
"""After the cache of their prompts, or each with its whole prompt."""
NO_ANSWERS_KEPT = "none"
ANSWER_WORDS = {
    CACHED: "answers run after the cache of their prompts",
    WHOLE: "answers run with their whole prompts, one pass a label",
}
PREFIXES, IMAGES = "prefixes", "images"
LEVELS = (PREFIXES, IMAGES)
"""What can be shared, the most first: all up to the last image, or the images alone."""
OFF, STRICT = "off", "strict"
UNNEEDED = "unneeded"
"""Each image has one prompt, so that nothing was decided."""
LONGER = " Say it in one word."
"""Makes a prompt longer, so that the lengths of those compared differ."""
WORDS = {
    PREFIXES: "each image, and what prompts about it begin with, is computed once",
    IMAGES: "each image is computed once",
    OFF: "each image is computed for every prompt about it",
}
ASKED, MEASURED, FIXED = "asked", "measured", "fixed"
"""How the most tokens of a batch were found."""
CPU_TOKENS = 4096
"""A CPU is as fast with some rows as with many."""
MOST_TOKENS = 65_536
"""Larger batches keep no GPU busier."""
MEMORY_SHARE = 0.6
"""Of the free memory that a batch may take: another batch is on its way, and memory has gaps."""
STEPS = 8
"""Of vLLM, that one call may take."""
ALONE, ANYHOW, UNCOMPARED = "alone", "anyhow", "uncompared"
"""How examples run where batches change features, by `strict` and by `warn`, and where that is not
known: the last two in batches."""
DEFAULTS: Mapping[str, Any] = {
    "batch_size": DEFAULT_BATCH_SIZE,
    "batch_check": STRICT,
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

    batch_size: Annotated[int, Meta(ge=1)]
    """Examples of a batch at most, where they run in batches."""
    batch_tokens: Annotated[int, Meta(ge=1)]
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
        """How large a batch may be: one example where batches change features.

        One for vLLM is as many steps of it as keep it busy while the next is prepared.
        """
        if self.attention.name == VLLM:
            return BatchLimits(self.batch_size, STEPS * self.batch_tokens)
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


def is_valid(record: Mapping[str, Any], run: RunOptions, attention: str, *, shared: bool) -> bool:
    """Return whether a store records how batches are made, and by the options of a run.

    A record that lacks a decision, or has no number that is possible, is made again.
    `attention` is the option; `shared` says that some images are shown by several prompts, so that
    sharing must be decided.
    """
    batching = as_asked(record, run, ("batch_tokens", *DEFAULTS))
    return (
        batching is not None
        and attention in (AUTO, attention_of(batching.attention.name))
        and batching.attention.name != VLLM
        and (batching.sharing.name != UNNEEDED or not shared)
    )


def as_asked(record: Mapping[str, Any], run: RunOptions, options: Sequence[str]) -> Batching | None:
    """Return what a store records, if it is whole and some options of a run are as they were."""
    try:
        batching = msgspec.convert(record, Batching)
    except msgspec.ValidationError:
        return None
    same = all(getattr(run, name) in (None, getattr(batching, name)) for name in options)
    return batching if same else None


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
    ModelError if the model cannot run as the options say.
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
    batches = choose(ALONE if check == STRICT else ANYHOW, tried, untried=UNCOMPARED)
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


def tower_ways(trial: Trial, option: str, size: int) -> Iterator[Way]:
    """Yield the way in which the attention of the vision tower runs in runs of chunks.

    `option` is `tower_attention`. By `auto` nothing is tried on a CPU, where runs save time only
    with towers that mask. Prompts run in batches of `size` at most.
    """
    model = trial.model
    set_runs(model.model, runs=False)
    if why := _refusal(trial, option):
        raise UntriedError(why)
    if not model.encoder.reads_prompts or not has_sdpa_tower(model.model):
        raise UntriedError("the model has no vision tower on sdpa that reads any size")
    places = [place for place, pieces in enumerate(trial.prompts) if images_in(pieces)]
    if not places:
        raise UntriedError("no prompt with an image was tried")
    yield Way(
        IN_RUNS,
        partial(_in_runs, trial, places, size),
        partial(set_runs, model.model, runs=False),
    )


def _refusal(trial: Trial, option: str) -> str:
    """Return why a faster tower is not tried, if it is not."""
    if option == LOOP:
        return NOTHING_COMPARED
    is_slow = trial.model.device.type == "cpu" and not is_masked(trial.model.model)
    return "on a CPU it saves no time" if option == AUTO and is_slow else ""


def _in_runs(trial: Trial, places: Sequence[int], size: int) -> Verdict:
    """Compare batches in runs with those in a loop.

    On a CPU they must keep every bit, but for towers that mask: without the masked part the same
    sums are made in another order. Elsewhere kernels differ by the shape of a batch, so features
    may move as far as rounding moves them.
    """
    model, pictured = trial.model, [trial.prompts[place] for place in places]
    calls = RUNS.calls
    set_runs(model.model, runs=True)
    runs = read_in_batches(model, pictured, size)
    if calls == RUNS.calls:
        return Verdict(False, "the tower computes its attention in another way")
    with as_loop(model.model):
        loop = read_in_batches(model, pictured, size)
    bits = compare_bits(loop, runs)
    if bits.same or (model.device.type == "cpu" and not is_masked(model.model)):
        return bits
    trial.run_alone()
    alone = [trial.singles[place] for place in places]
    # In the place of single examples are batches in a loop, so what rounding does to an example is
    # added to these: as far as one bit of the inputs moves each.
    nudged = loop + np.stack([single.nudged - single.heads for single in alone])
    return compare(loop, nudged, runs, model.dtype)


def require_runs(trial: Trial, option: str, tower: Choice) -> None:
    """Raise ModelError if the user wants runs, and this tower has none or changes features."""
    if option == IN_RUNS != tower.name and any(map(images_in, trial.prompts)):
        raise ModelError(
            f"`tower_attention` is {IN_RUNS}, and {trial.model.name} cannot: {tower.seen}; set it"
            f" to {AUTO}"
        )


def host_ways(trial: Trial, option: str, size: int) -> Iterator[Way]:
    """Yield the way in which `host_inputs` are given, in the attention that is set.

    It is tried where that of the tower is. Features must keep every bit, on any device: these
    values are whole numbers, and a tolerance of 16 bits would let pass those of a tower that
    computes them in another way.
    """
    if _refusal(trial, option):
        raise UntriedError(NOTHING_COMPARED)
    pictured = [pieces for pieces in trial.prompts if images_in(pieces)]
    yield Way(GIVEN, partial(_given, trial, pictured, size))


def _given(trial: Trial, pictured: Sequence[Pieces], size: int) -> Verdict:
    model = trial.model
    if not any(host_inputs(model.encoder, model.inputs([pieces])) for pieces in pictured):
        return Verdict(False, "the model takes none")
    with_them = read_in_batches(model, pictured, size, with_host_inputs=True)
    return compare_bits(read_in_batches(model, pictured, size), with_them)


def batch_ways(trial: Trial) -> Iterator[Way]:
    """Yield the way in which all prompts of one shape run together."""
    if max(Counter(map(shape_of, trial.prompts)).values(), default=0) < 2:
        raise UntriedError(NOTHING_COMPARED)
    trial.run_alone()
    yield Way(TOGETHER, partial(_all_together, trial))


def _all_together(trial: Trial) -> Verdict:
    try:
        return trial.in_batches(len(trial.prompts))
    except Exception as error:
        if isinstance(error, ValueError) or is_out_of_memory(error):
            raise UntriedError(NOTHING_COMPARED) from error  # the run cuts such a batch, or fails
        raise


def cache_ways(trial: Trial, answers: Answers, *, together: bool) -> Iterator[Way]:
    """Yield the way in which answers run after the cache of their prompts.

    Prompts of one shape, see `shape_of`, are adjacent in the trial, and run `together` if they do
    so in the run. ModelError if the model fails where it shall give logits.
    """
    model, prompts, tried = trial.model, trial.prompts, answers
    if not answers.tokens:  # what is generated runs after a cache, too: some label shows it
        tried = replace(answers, tokens={"tried": answers.ends[:1] * 3})
    tried = replace(tried, ends=())
    trial.run_alone()
    if not prompts:
        raise UntriedError("no prompt was tried")
    plain = replace(tried, whole=True)
    try:
        wholes = [model.read(model.inputs([p]), plain.tried(1)) for p in prompts]
        nudged = [read_nudged(model, p, plain.tried(2)) for p in prompts]
    except Exception as error:
        raise ModelError(
            f"{model.name} gives heads, and no logits for its own answers ({error_line(error)});"
            " leave out `answers`"
        ) from error
    parts = [list(group) for _, group in groupby(prompts, shape_of)]
    if not together:
        parts = [[pieces] for pieces in prompts]
    yield Way(CACHED, partial(_after_caches, trial, tried, parts, wholes, nudged))


def _after_caches(
    trial: Trial,
    tried: Answers,
    parts: Sequence[Sequence[Pieces]],
    wholes: Sequence[Read],
    nudged: Sequence[Read],
) -> Verdict:
    """Compare with whole passes, and with what rounding does to these."""
    model = trial.model
    reads = [model.read(model.inputs(part), tried.tried(len(part))) for part in parts]
    heads = trial.compare(np.concatenate([stacked(model, read).swapaxes(0, 1) for read in reads]))
    if not heads.same:
        return Verdict(False, f"heads together with answers differ: {heads.seen}")
    whole = np.concatenate([answers_of(read) for read in wholes])
    other = np.concatenate([answers_of(read) for read in reads])
    rounding = np.abs(whole - np.stack([answers_of(read)[0] for read in nudged])).max()
    apart = float(np.nan_to_num(np.abs(whole - other), nan=np.inf).max())
    tokens = max(map(len, tried.tokens.values()))
    limit = max(NATS[model.dtype] * tokens, CHAOS * float(rounding))
    return Verdict(
        apart <= limit, f"log-likelihoods differ from whole passes by {apart:.1e} at most"
    )


@dataclass(frozen=True, slots=True)
class Questions:
    """Prompts about the same images, made of the user's: sharing is tried on them."""

    prompts: Sequence[Pieces] = ()
    images: int = 0
    """Images of each: some processors treat several as they do not one."""
    sizes_alone: bool = False
    """Whether the processor needs no pixels to make text, see `knows_sizes`."""
    refusal: str = ""
    """Why there are none."""


def images_recur(prompt_counts: Mapping[str, int]) -> bool:
    """Return whether several prompts may show one image.

    `prompt_counts` is the name of each medium -> how many prompts show it. In tables each row has
    its images inside, so that names do not tell.
    """
    return any(count > 1 or is_packed(name) for name, count in prompt_counts.items())


def questions_about(encoder: PromptEncoder, prompts: Sequence[Pieces]) -> Questions:
    """Return questions about the images of some prompts.

    They are three about the images of one prompt, two of the same text about other images of the
    same size, and one about those of another prompt, which may have another size.
    """
    if encoder.code.to_inputs is not None:
        return Questions(refusal="your code makes the model's inputs")
    if encoder.embedding is not None:
        return Questions(refusal="an embedding is read of whole prompts")
    usable = [pieces for pieces in prompts if images_in(pieces) and is_plain(pieces)]
    if not usable and not all(map(is_plain, prompts)):
        return Questions(refusal="a video or a sound is computed for every prompt about it")
    if not usable:
        return Questions(refusal="no prompt with an image was tried")
    first = usable[0]
    last = [pieces for pieces in usable if images_in(pieces) == images_in(first)][-1]
    turned = images_of(inverted(first))
    texts = [first, (*first, LONGER), last]
    about = [_with_images(pieces, images_of(first)) for pieces in texts]
    about += [_with_images(pieces, turned) for pieces in texts[:2]]
    about += [] if last is first else [last]
    return Questions(about, images_in(first), knows_sizes(encoder, about))


def knows_sizes(encoder: PromptEncoder, prompts: Sequence[Pieces]) -> bool:
    """Return whether the processor makes a prompt's text from the sizes of its images alone.

    Most do, at a tenth of the time; a few look at the pixels that they made.
    """
    try:
        quick = encode_texts(encoder, prompts, sizes_alone=True)
        plain = encode_texts(encoder, prompts, sizes_alone=False)
        return all(torch.equal(quick[name], value) for name, value in plain.items())
    except Exception:  # what a processor raises then differs from one to the next
        return False


def _with_images(pieces: Pieces, images: Sequence[Image.Image]) -> Pieces:
    replacements = iter(images)
    return map_images(pieces, lambda _: next(replacements))


def sharing_ways(
    model: LoadedModel,
    questions: Questions,
    scale: PixelScale | None = None,
    answers: Answers = NO_ANSWERS,
    levels: Sequence[str] = LEVELS,
    *,
    host_inputs: bool = False,
) -> Iterator[Way]:
    """Yield the ways to share what is computed of images, at the `levels`, in turn.

    They run with what was found for pixels (`scale`) and `host_inputs`, and with likelihoods of the
    first labels of `answers`.
    """
    if questions.refusal:
        raise UntriedError(questions.refusal)
    trial = Trial(model, questions.prompts, answers)
    trial.run_alone()
    for level in levels:
        settings = PassSettings(
            dtype=model.model.dtype,
            raw_pixels=scale is not None,
            shares_prefixes=level == PREFIXES,
            sizes_alone=questions.sizes_alone,
            host_inputs=host_inputs,
        )
        shared = SharedForward(model, scale, settings)
        yield Way(level, partial(_share, shared, trial), refusal=f"{level} are not shared")


def _share(shared: SharedForward, trial: Trial) -> Verdict:
    """Compare prompts that share with those that run by themselves, all at once and once more."""
    model, questions, singles = trial.model, trial.prompts, trial.singles
    shared.least_saved = 0
    images = [image for pieces in questions for image in images_of(pieces)]
    # known by identity: equal images may be one object
    keys: dict[int, ImageKey] = {id(image): (f"image {n}", 0) for n, image in enumerate(images)}
    other = np.stack([single.heads for single in singles])  # each is replaced below
    last = len(questions) - 1  # it continues from the prefix that was kept
    for part in (range(last + 1), [last]):
        prompts = [questions[i] for i in part]
        batch = share_images(model.encoder, prompts, keys, part, shared.settings)
        for piece in shared.pieces(batch):
            read = shared.launch(piece, trial.answers.tried(len(piece.requests))).result()
            values = answers_of(read)
            other[list(piece.requests)] = stacked(model, read).swapaxes(0, 1)
            for row, request in enumerate(piece.requests):
                apart = distance(singles[request].answers[None], values[row][None])
                if apart > TOLERANCES[model.dtype]:
                    return Verdict(False, f"answers move by {apart:.1e}")
        verdict = trial.compare(other)
        if not verdict.same:
            return verdict
    if distance(singles[0].heads, singles[3].heads) > 0 and distance(other[0], other[3]) == 0:
        return Verdict(False, "another image under the same text gives the same heads")
    return verdict


@dataclass
class TokenMeter:
    """Measures the tokens of a batch, padding included, that fit the memory of all its devices.

    Prompts run by themselves and together, padded, as the run will run them, and the peak of each
    device is measured.
    """

    model: LoadedModel
    prompts: Sequence[Pieces]
    scale: PixelScale | None = None
    """What was found for pixels."""
    cached: bool = False
    """Whether keys and values are kept, of prefixes and of the prompts after them."""
    most: int = CPU_TOKENS
    """The tokens; as many as are fixed until they are measured."""

    def ways(self) -> Iterator[Way]:
        """Yield the way in which batches are as large as fits; it changes `most`."""
        if self.model.device.type != "cuda":
            raise UntriedError(f"nothing is measured on {self.model.device.type}")
        if not self.prompts:
            raise UntriedError("no prompt was tried")
        yield Way(MEASURED, self._measure)

    def _measure(self) -> Verdict:
        model, prompts = self.model, self.prompts
        devices = sorted({model.device, *_devices(model)}, key=str)
        batches = [[pieces] for pieces in prompts]
        batches += [[prompts[i] for i in places] for places in batches_of(prompts, COMPARED)]
        measured = [
            _bytes_a_token(model, batch, self.scale, devices) for batch in [batches[0], *batches]
        ]
        fitting = [sizes for sizes in measured[1:] if sizes]  # the first pass prepares libraries
        if not fitting:
            return Verdict(False, "no prompt that was tried fits")
        most, places = MOST_TOKENS, []
        for place, device in enumerate(devices):
            each = max(sizes[place] for sizes in fitting)
            each += 2 * _cache_bytes(model, device) if self.cached else 0
            free, _ = torch.cuda.mem_get_info(device)
            free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            most = min(most, int(MEMORY_SHARE * free / each))
            places.append(f"{each:,.0f} bytes a token of {free:,} free on {device}")
        self.most = max(most, 1)
        return Verdict(True, ", ".join(places))


def _devices(model: LoadedModel) -> list[torch.device]:
    """Return the GPU of each hook point; offloaded layers run on that of the inputs."""
    weights = (next(point.module.parameters(), None) for point in model.hook_points)
    devices = (model.device if weight is None else weight.device for weight in weights)
    return [device if device.type == "cuda" else model.device for device in devices]


def _cache_bytes(model: LoadedModel, device: torch.device) -> int:
    """Return what the keys and values of a token take in all layers on a device."""
    places = zip(model.grid, _devices(model), strict=False)
    values = sum(len(grid.heads) * grid.head_dim for grid, here in places if here == device)
    config = model.model.config.get_text_config()
    queries = getattr(config, "num_attention_heads", None)
    shared = getattr(config, "num_key_value_heads", None)
    if isinstance(queries, int) and isinstance(shared, int):
        values = values * shared // queries
    return 2 * values * model.model.dtype.itemsize


def _bytes_a_token(
    model: LoadedModel,
    batch: Sequence[Pieces],
    scale: PixelScale | None,
    devices: Sequence[torch.device],
) -> list[float]:
    """Return what a batch takes on each device; nothing if it does not fit: the run cuts it."""
    is_raw = scale is not None and is_plain(batch[0])
    inputs = model.encoder.encode(batch, RAW_IMAGES if is_raw else None)
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    before = list(map(torch.cuda.memory_allocated, devices))
    try:
        model.launch(inputs, scale=scale if is_raw else None).result()
    except RuntimeError as error:
        if is_out_of_memory(error):
            return []
        raise
    peaks = map(torch.cuda.max_memory_allocated, devices)
    used = [max(peak - start, 1) for peak, start in zip(peaks, before, strict=True)]
    tokens = model.count_tokens(inputs)
    return [size / tokens for size in used]
