"""Whether a model takes the videos of a run as they are given, known before weights are read."""

from savs.pipeline.extraction.appending import WantedExamples
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.video_inputs import require_videos
from savs.pipeline.inputs.source import Source


def require_video_input(encoder: PromptEncoder, source: Source, wanted: WantedExamples) -> None:
    """Raise ModelError where videos go in as videos, and the model takes none.

    A dual encoder says so itself, example by example.
    """
    if source.needs_video_input(has_videos=wanted.has_videos) and not encoder.is_dual:
        require_videos(encoder)
