"""What is refused before a run: media and options that a model does not take."""

from itertools import chain

from savs.datasets import Example, MediaError
from savs.datasets.example import of_subtask
from savs.datasets.media_kinds.catalogue import KIND_OF_COLUMN
from savs.datasets.media_kinds.decoding import DEFAULT_RATE, NATIVE
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind
from savs.datasets.rows.media_names import kind_of_name
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.line.feed import MediaOf
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import Splits
from savs.pipeline.prompts.chat import reads_video_sound
from savs.pipeline.prompts.media.catalogue import INPUTS, inputs_for
from savs.pipeline.running.formatting import counted


def require_media(examples: Splits, media: MediaOf) -> None:
    """Raise MediaError for a split, or a training class, none of whose media is there.

    All of it would be skipped, after the model was loaded; where some are there, the run skips the
    others and says so.
    """
    parts: dict[tuple[str, str], list[Example]] = {}
    for row in chain.from_iterable(examples.values()):
        is_class = row.split == "train" and row.label is not None
        of_class = f" of the class {row.label!r}{of_subtask(row.subtask)}" if is_class else ""
        parts.setdefault((row.split, of_class), []).append(row)
    for (split, of_class), rows in parts.items():
        if any(not row.media or all(map(media(row).has, row.media)) for row in rows):
            continue
        absent = next(name for name in rows[0].media if not media(rows[0]).has(name))
        raise MediaError(
            f"none of {counted(len(rows), f'{split} example')}{of_class} has its media:"
            f" {media(rows[0]).absence(absent)}"
        )


def require_kind(encoder: PromptEncoder, kind: MediumKind) -> None:
    """Raise ModelError for a model that does not read a kind of media.

    Media that are decoded to images are refused one by one, as images are.
    """
    if kind not in INPUTS or encoder.takes(kind):
        return
    family, inputs = getattr(encoder.config, "model_type", "model"), INPUTS[kind]
    why = f"its {type(encoder.processor).__name__} takes none"
    if encoder.code.to_inputs is not None:
        why = inputs.not_for_code
    elif inputs.reader(encoder.processor) is not None:
        why = f"its chat template has no place for {kind.a_noun}"
    raise ModelError(f"{encoder.name} ({family}) {inputs.refused}: {why}; {inputs.instead}")


def require_video_sound(encoder: PromptEncoder) -> None:
    """Raise ModelError for a model that takes videos, and not with their sounds."""
    if not reads_video_sound(encoder.processor) or encoder.sound_rate != DEFAULT_RATE:
        family = getattr(encoder.config, "model_type", "model")
        raise ModelError(
            f"{encoder.name} ({family}) takes no video with its sound: its"
            f" {type(encoder.processor).__name__} does not; `video` {NATIVE} leaves the sound out"
        )


def require_encoder_run(encoder: PromptEncoder, examples: Splits, run: RunOptions) -> None:
    """Check that the examples and the options of a run are such as an encoder takes.

    An image encoder skips examples that are not one image. A dual encoder would read a text alone
    as one of its texts, so there are none of these for it. ModelError if an option has no meaning,
    or an example of a dual encoder has not exactly one image.
    """
    values = {
        "`answers`": (run.answers, "answers no question"),
        "`heads`": (run.heads, "has one output and no heads to choose from"),
    }
    if not encoder.reads_prompts and not encoder.is_dual:
        values["`templates`"] = (run.templates, "reads no text")
        values["`classes`"] = (run.classes, "reads no text")
    for option, (value, why) in values.items():
        if value:
            raise ModelError(f"{encoder.name} is {encoder.kind_name}: it {why}; drop {option}")
    for example in chain.from_iterable(examples.values()) if encoder.is_dual else ():
        if (problem := _problem(example)) is not None:
            raise ModelError(
                f"{encoder.name} is a dual encoder: it reads one image, without the text around it."
                f" The {example.split} example {example.id!r} has {problem}; leave such examples"
                " out, or run a model with a language decoder"
            )


def _problem(example: Example) -> str | None:
    """Return what an example has instead of one image."""
    if len(example.media) != 1:
        count = len(example.media) or "no"
        return f"{count} images in its prompt"
    (name,), (column,) = example.media, example.columns
    kind = KIND_OF_COLUMN[column] if column != IMAGE_COLUMN else kind_of_name(name) or IMAGES
    is_image = inputs_for(kind).kind is IMAGES
    is_image |= kind.column != column  # of another kind, the decoder says it
    return None if is_image else f"{kind.a_noun}, {name}"
