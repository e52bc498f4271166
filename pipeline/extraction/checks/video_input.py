"""Whether a model takes the videos of a run as they are given, known before weights are read."""

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.video_inputs import FRAMES_INSTEAD, NOT_FOR_CODE, takes_videos


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
