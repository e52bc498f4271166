"""Whether a model takes the videos of a run as they are given, known before weights are read."""

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.appending import WantedExamples
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.video_inputs import FRAMES_INSTEAD, NOT_FOR_CODE, takes_videos
from savs.pipeline.inputs.source import Source


def require_video_input(encoder: PromptEncoder, source: Source, wanted: WantedExamples) -> None:
    """Raise ModelError where videos go in as videos, and the model takes none.

    A dual encoder says so itself, example by example.
    """
    if source.needs_video_input(has_videos=wanted.has_videos) and not encoder.is_dual:
        require_videos(encoder)


def require_videos(encoder: PromptEncoder) -> None:
    """Raise ModelError for a model that takes no video as a video."""
    if encoder.code.to_inputs is not None:
        raise ModelError(f"{encoder.name}: {NOT_FOR_CODE}")
    if takes_videos(encoder.processor):
        return
    family = getattr(encoder.config, "model_type", "model")
    kind = type(encoder.processor).__name__
    has_processor = getattr(encoder.processor, "video_processor", None) is not None
    what = "its chat template has no place for a video" if has_processor else f"its {kind} does not"
    raise ModelError(
        f"{encoder.name} ({family}) takes no video as a video: {what}; {FRAMES_INSTEAD}"
    )
