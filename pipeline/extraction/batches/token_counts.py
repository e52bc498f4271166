"""How long a prompt will be for a model, from its text and the sizes of its images alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from savs.pipeline.extraction.model.dual_inputs import image_tokens
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder

PIXELS_A_TOKEN = 28 * 28
"""Where a processor does not tell: patches of 14 pixels a side, four of which are one token."""
LEAST, MOST = 64, 4096
"""Bounds of that estimate for one image."""


@dataclass(frozen=True, eq=False)
class TokenCounter:
    """Counts the tokens of prompts before anything is decoded."""

    encoder: PromptEncoder

    def text(self, prompts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, without those of the chat template."""
        return self.encoder.count_tokens(prompts)

    @lru_cache(maxsize=4096)  # noqa: B019 - a counter lives as long as its run
    def image(self, width: int, height: int) -> int:
        """Return the tokens of an image of a size in pixels."""
        if self.encoder.is_dual:
            return image_tokens(self.encoder.config)
        try:
            found = self.encoder.processor._get_num_multimodal_tokens(image_sizes=[(height, width)])
            return int(found["num_image_tokens"][0])
        except Exception:  # half of the processors have it, each for itself
            return min(max(width * height // PIXELS_A_TOKEN, LEAST), MOST)

    @lru_cache(maxsize=4096)  # noqa: B019 - as above
    def video(self, frames: int, width: int, height: int) -> int:
        """Return the tokens of a video whose frames have a size in pixels."""
        try:
            sizes = [(frames, height, width)]
            found = self.encoder.processor._get_num_multimodal_tokens(video_sizes=sizes)
            return int(found["num_video_tokens"][0])
        except Exception:  # as above
            return frames * self.image(width, height)
