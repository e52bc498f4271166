"""What a dual encoder cannot do, refused before its weights are loaded."""

from itertools import chain

from savs.datasets import Example
from savs.datasets.rows.media_names import is_video_name
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.source import Splits


def require_dual_run(encoder: PromptEncoder, examples: Splits, run: RunOptions) -> None:
    """Check that the examples and the options of a run are such as a dual encoder takes.

    Raises
    ------
    ModelError
        An example has not exactly one image, or an option has no meaning.
    """
    given = {
        "--answers": (run.answers, "answers no question"),
        "--heads-from": (run.heads_from, "has one output and no heads to choose from"),
    }
    for option, (value, why) in given.items():
        if value:
            raise ModelError(f"{encoder.name} is a dual encoder: it {why}; drop {option}")
    for example in chain.from_iterable(examples.values()):
        if (found := _problem(example)) is not None:
            raise ModelError(
                f"{encoder.name} is a dual encoder: it reads one image, without the text around it."
                f" The {example.split} example {example.id!r} has {found}; leave such examples out,"
                " or run a model with a language decoder"
            )


def _problem(example: Example) -> str | None:
    """Return what an example has instead of one image."""
    if len(example.media) != 1:
        count = len(example.media) or "no"
        return f"{count} images in its prompt"
    return f"a video, {example.media[0]}" if is_video_name(example.media[0]) else None
