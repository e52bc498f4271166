"""How media are decoded: what users, models and pages choose."""

from dataclasses import dataclass

NATIVE, WITH_SOUND, FRAMES = "native", "with-sound", "frames"
VIDEO_INPUTS = (NATIVE, WITH_SOUND, FRAMES)
"""How a model gets a video: as a video, with its sound, or its frames as images. The first is the
default, as in the public reference of arXiv 2412.00142."""
DEFAULT_FRAMES = 8
"""Frames per video by default; also those of a store that does not record the number."""
MAX_IMAGE_PIXELS = 2**26
"""Most pixels of an image by default: 67 megapixels, 268 MB once decoded."""
DEFAULT_RATE = 16_000
"""Samples a second where no model says: nearly all are trained at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How media of any kind are decoded."""

    video_frames: int | None = None
    """Frames per video; None for `DEFAULT_FRAMES`."""
    draft_pixels: int | None = None
    """JPEGs may be decoded smaller, down to this many pixels, see `decode_image`."""
    max_pixels: int = MAX_IMAGE_PIXELS
    """Images with more pixels are refused, and videos as `decode_video` says."""
    video: str = NATIVE
    """What stands in a prompt for a video: one of `VIDEO_INPUTS`."""
    audio_max_seconds: int | None = None
    """Sounds are cut after this many seconds; None refuses long ones, see `decode_sound`."""
    sound_rate: int = DEFAULT_RATE
    """Samples a second of sounds, as the model reads them."""

    @property
    def frames(self) -> int:
        """Frames per video."""
        return self.video_frames or DEFAULT_FRAMES
