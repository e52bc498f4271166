"""What all passes of a run have in common: options, and what was decided by trying."""

from dataclasses import dataclass

import torch

from savs.datasets.media.media import DEFAULT_RULES, MediaRules
from savs.pipeline.extraction.line.jobs import BatchLimits
from savs.pipeline.extraction.run_options import RunOptions

DEFAULT_RUN = RunOptions()
ALONE = BatchLimits(1, 1)
"""Each prompt is a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """How prompts become passes of the model; planner, workers and model have the same.

    Options of the model are `PromptEncoder.options`.
    """

    run: RunOptions = DEFAULT_RUN
    """The options of the run, all of them."""
    rules: MediaRules = DEFAULT_RULES
    """How media are decoded."""
    dtype: torch.dtype
    """The model's type; other pixels than bytes are given in it, which halves what is moved."""
    limits: BatchLimits = ALONE
    raw_pixels: bool = False
    """Leave pixels of images as bytes, see `PixelScale`; not in prompts with videos or sounds."""
    shared_images: int = 0
    """Prompts with this many images may share them; 0 for none."""
    shares_prefixes: bool = False
    """Whether prompts about the same images share what they begin with."""
    sizes_alone: bool = False
    """Make the texts of prompts that share images from the images' sizes, see `knows_sizes`."""
    host_inputs: bool = False
    """Compute what the model would compute from the sizes of images, see `host_inputs`."""
