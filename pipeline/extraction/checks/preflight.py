"""What is tried on a few of the user's own prompts before a long run, and what follows from it."""

import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import chain
from typing import Any, TypeVar

import msgspec
import torch

from savs.datasets import Example
from savs.datasets.media.videos import videos_of
from savs.datasets.rows.media_names import is_video_name
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.batches.feed import MediaOf
from savs.pipeline.extraction.batches.jobs import BatchLimits
from savs.pipeline.extraction.batches.prepare import pieces_of
from savs.pipeline.extraction.checks.batch_equality import (
    Check,
    Trial,
    batches_of,
    check_batches,
    find_answer_way,
)
from savs.pipeline.extraction.checks.flash import (
    FLASH,
    Attention,
    find_attention,
    require_masks,
)
from savs.pipeline.extraction.checks.sharing import (
    IMAGES,
    LEVELS,
    OFF,
    PREFIXES,
    WORDS,
    Sharing,
    find_sharing,
)
from savs.pipeline.extraction.checks.towers import AUTO, TOWER_WORDS, Tower, find_tower
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pieces import Pieces, is_plain, shape_of
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES, PromptEncoder
from savs.pipeline.extraction.run_options import DEFAULT_BATCH_SIZE, RunOptions

T = TypeVar("T")
ANSWER_WAYS = {
    False: "answers run after the cache of their prompts",
    True: "answers run with their whole prompts, one pass a label",
}
COMPARED = 4
"""Examples that are tried."""
SIZED = 200
"""Examples whose sounds are looked at to find short and long ones among them."""
CPU_TOKENS = 4096
"""A CPU is as fast with some rows as with many."""
MOST_TOKENS = 65_536
"""Larger batches keep no GPU busier."""
MEMORY_SHARE = 0.6
"""Of the free memory that a batch may take: another batch is on its way, and memory has gaps."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How examples are put together in batches; a store records it, and later runs do the same."""

    batch_size: int
    """Examples of a batch at most."""
    batch_tokens: int
    """Tokens of a batch at most, padding included."""
    raw_pixels: bool
    """Whether pixels are normalised on the model's device, see `PixelScale`."""
    batch_check: str
    """What was asked for: `strict`, `warn` or `off`."""
    equal: bool | None
    """Whether batches give what single examples give; None if that was not tried."""
    seen: str
    reuse: str
    """What was asked for: `auto` or `off`."""
    sharing: Sharing | None
    """What prompts about the same images share; None if each image has one prompt."""
    whole_answers: bool = False
    """Whether each of the model's own answers runs with its whole prompt."""
    answers_seen: str = ""
    """What the comparison of answers saw; nothing if none are kept."""
    tower_attention: str = AUTO
    """What was asked for: `auto`, `runs` or `loop`."""
    tower: Tower = field(default_factory=Tower)
    attention: Attention = field(default_factory=Attention)

    @property
    def limits(self) -> BatchLimits:
        """How large a batch may be: one example where batches change features."""
        return BatchLimits(1 if self.is_single else self.batch_size, self.batch_tokens)

    @property
    def is_single(self) -> bool:
        """Whether examples run one by one because batches change them."""
        return self.batch_check == "strict" and self.equal is False

    def notes(self) -> list[str]:
        """Return what a user should know."""
        lines = []
        if self.equal:
            lines.append(f"batches do not change this model's features: {self.seen}")
        elif self.is_single:
            lines.append(
                f"batches change this model's features ({self.seen}): running single examples"
                " instead; savs models CHECKPOINT says more"
            )
        elif self.equal is False:
            lines.append(f"batches change this model's features ({self.seen}); going on anyhow")
        if self.attention.name in FLASH:
            lines.append(f"attention by {self.attention.name}: {self.attention.seen}")
        if self.tower.runs:
            lines.append(f"in the vision tower {TOWER_WORDS[True]}: {self.tower.runs_seen}")
        if self.sharing is not None:
            why = f": {self.sharing.seen}" if self.sharing.level != PREFIXES else ""
            lines.append(WORDS[self.sharing.level] + why)
        if self.answers_seen:
            lines.append(f"{ANSWER_WAYS[self.whole_answers]}: {self.answers_seen}")
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
    if set(record) != {part.name for part in fields(Batching)}:
        return None
    batching = msgspec.convert(record, Batching)
    decided = ("batch_size", "batch_tokens", "batch_check", "reuse", "tower_attention")
    is_same = all(getattr(run, name) in (None, getattr(batching, name)) for name in decided)
    is_same &= attention in (AUTO, batching.attention.name)
    is_same &= batching.sharing is not None or not shared
    return batching if is_same else None


@dataclass(frozen=True, slots=True)
class Sample:
    """A few of the user's own prompts."""

    prompts: Sequence[Pieces]
    seconds: float
    """Time that one of them takes to be decoded and encoded: the median; 0 without prompts."""


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
    """Run a few prompts, alone, in one batch, and so that they share images.

    Prompts run alone as transformers runs them; all else is compared with that. The model's
    attention, and that of its vision tower, stay set as was found best.

    `scale` is what was found for pixels; `shared` says that some images are shown by several
    prompts. `attention` is the option: one that the user names was loaded with the model.
    """
    check, rows = run.batch_check or "strict", run.batch_size or DEFAULT_BATCH_SIZE
    tower_attention = run.tower_attention or AUTO
    trial = Trial(model, prompts)
    used = Attention(model.attention)
    if attention == AUTO:
        tower_is_free = tower_attention == AUTO
        used = find_attention(trial, rows, with_tower=tower_is_free)
    else:
        require_masks(trial, rows)
    tower = find_tower(trial, tower_attention, rows)
    verdict = _try_batches(trial) if check != "off" and rows > 1 else None
    batches = rows > 1 and (check != "strict" or verdict is None or bool(verdict.passed))
    whole, answers_seen = False, ""
    if answers:
        whole, answers_seen = find_answer_way(trial, answers, batches=batches)
        answers = replace(answers, whole=whole)
    reuse = run.reuse or "auto"
    if not shared:
        sharing = None
    elif reuse == OFF:
        sharing = Sharing(OFF, "nothing was compared")
    elif check == "strict" and verdict is not None and not verdict.passed:
        sharing = Sharing(OFF, "batches change this model's features")
    else:
        one_by_one = rows == 1 or whole or bool(answers.ends)  # after prefixes, nothing is kept
        levels = [IMAGES] if one_by_one else LEVELS
        sharing = find_sharing(
            model, prompts, scale, answers, levels, host_inputs=tower.host_inputs
        )
    is_cached = bool(answers) or (sharing is not None and sharing.level == PREFIXES)
    return Batching(
        batch_size=rows,
        batch_tokens=run.batch_tokens or auto_tokens(model, prompts, scale, cached=is_cached),
        raw_pixels=scale is not None,
        batch_check=check,
        equal=verdict and verdict.passed,
        seen="nothing was compared" if verdict is None else verdict.what,
        reuse=reuse,
        sharing=sharing,
        whole_answers=whole,
        answers_seen=answers_seen,
        tower_attention=tower_attention,
        tower=tower,
        attention=used,
    )


def sample(encoder: PromptEncoder, examples: Sequence[Example], media: MediaOf) -> Sample:
    """Return a few prompts of different lengths, as in every batch of one shape, see `shape_of`.

    Where names tell that some show videos and others do not, up to half are of each: two shapes. Of
    sounds the smallest and the largest file are among them: models may treat short ones otherwise.
    """
    named: dict[bool, list[Example]] = {}
    for example in sorted(examples, key=lambda e: (len(e.media), len(e.prompt))):
        named.setdefault(any(map(is_video_name, example.media)), []).append(example)
    kinds: dict[bool, list[Pieces]] = {}
    seconds: list[float] = []
    by_size = (_by_size(rows, media) for rows in named.values())
    for example in chain.from_iterable(_spread(rows, COMPARED) for rows in by_size):
        started = time.perf_counter()
        try:
            read = encoder.text_read(example.prompt, example.media)
            pieces = pieces_of(replace(example, prompt=read), media(example), encoder)
            encoder.encode([pieces])
        except Exception:  # the run itself skips it, and says so
            continue
        seconds.append(time.perf_counter() - started)
        kinds.setdefault(bool(videos_of(pieces)), []).append(pieces)
    prompts = [
        pieces
        for of_kind in kinds.values()
        for pieces in _spread(_alike(of_kind), COMPARED // len(kinds))
    ]
    return Sample(prompts, statistics.median(seconds) if seconds else 0.0)


def _by_size(examples: Sequence[Example], media: MediaOf) -> Sequence[Example]:
    """Return examples of sounds by the bytes of their files, some of many; others as they are."""
    if not any(examples[0].sounds):
        return examples
    some = _spread(examples, SIZED)
    return sorted(some, key=lambda e: sum(media(e).size(name) or 0 for name in e.media))


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Return some of a list at equal distances, both ends among them; all of a shorter one."""
    places = (round(step * (len(items) - 1) / (count - 1)) for step in range(count))
    return [items[place] for place in dict.fromkeys(places)]


def _alike(prompts: Sequence[Pieces]) -> list[Pieces]:
    """Return the prompts of the shape that most have."""
    [(often, _)] = Counter(map(shape_of, prompts)).most_common(1)
    return [pieces for pieces in prompts if shape_of(pieces) == often]


def _try_batches(trial: Trial) -> Check | None:
    if max(Counter(map(shape_of, trial.prompts)).values(), default=0) < 2:
        return None
    try:
        return check_batches(trial, len(trial.prompts))
    except (ModelError, ValueError):
        return None  # the run itself skips or fails, and says so
    except RuntimeError as error:
        if is_out_of_memory(error):
            return None
        raise


def auto_tokens(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    scale: PixelScale | None = None,
    *,
    cached: bool = False,
) -> int:
    """Return the tokens of a batch, padding included, that fit the memory of all its devices.

    Prompts run by themselves and together, padded, as the run will run them, and the peak of each
    device is measured. `scale` is what was found for pixels; `cached` says that keys and values are
    kept, of prefixes and of the prompts after them.
    """
    if model.device.type != "cuda" or not prompts:
        return CPU_TOKENS
    devices = sorted({model.device, *_devices(model)}, key=str)
    batches = [[pieces] for pieces in prompts]
    batches += [[prompts[place] for place in places] for places in batches_of(prompts, COMPARED)]
    measured = [_bytes_a_token(model, batch, scale, devices) for batch in [batches[0], *batches]]
    fitting = [found for found in measured[1:] if found]  # the first pass prepares libraries
    if not fitting:
        return CPU_TOKENS
    most = MOST_TOKENS
    for place, device in enumerate(devices):
        each = max(found[place] for found in fitting)
        each += 2 * _cache_bytes(model, device) if cached else 0
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        most = min(most, int(MEMORY_SHARE * free / each))
    return max(most, 1)


def _devices(model: LoadedModel) -> list[torch.device]:
    """Return the GPU of each hook point; offloaded layers run on that of the inputs."""
    weights = (next(point.module.parameters(), None) for point in model.hook_points)
    found = (model.device if weight is None else weight.device for weight in weights)
    return [device if device.type == "cuda" else model.device for device in found]


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
    """Return what a batch takes on each device; nothing if it does not fit.

    The run cuts such a batch, or refuses a prompt.
    """
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
    return [taken / tokens for taken in used]
