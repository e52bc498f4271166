"""Videos: as videos, with their sounds, or as frames."""

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, ClassVar

from savs.datasets.media_kinds.decoding import FRAMES, WITH_SOUND, Decoding
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind, Outline
from savs.datasets.media_kinds.sounds import SOUNDS

if TYPE_CHECKING:
    from PIL import Image

    from savs.datasets.media_kinds.decoders.videos import Video


class Videos(MediumKind):
    """Videos, which the column of images names, too; that of sounds names their sounds."""

    noun, mark, columns = "video", "<video>", (IMAGE_COLUMN, SOUNDS.column)
    column_words = ("video",)
    suffixes = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
    usual_suffix = ".mp4"
    recorded: ClassVar = {"video": str, "video_frames": int}
    one, question = IMAGES.one, IMAGES.question
    in_images = "; features of its frames have maps: run savs extract --video frames"

    @property
    def of(self) -> type:
        """The class of decoded videos."""
        from savs.datasets.media_kinds.decoders.videos import Video

        return Video

    def has_content(self, data: bytes) -> bool:
        """Return whether a file has the container of a video."""
        from savs.datasets.media_kinds.decoders.containers import container_of

        return container_of(data) is not None

    def decode(self, data: bytes, name: str, rules: Decoding) -> "list[Video] | list[Image.Image]":
        """Return a video or its frames; of a part what is in the window that its name has."""
        from savs.datasets.media_kinds.decoders.videos import decode_as_shown

        return decode_as_shown(data, name, rules)

    def outline(self, data: bytes, rules: Decoding) -> Outline:
        """Return the size of each frame, though a short video has fewer; and of its sound."""
        from savs.datasets.media_kinds.decoders.sounds import seconds_of
        from savs.datasets.media_kinds.decoders.videos import video_size

        try:
            sizes = [video_size(data)] * rules.frames
        except Exception:  # what is wrong is said when it is decoded
            sizes = [(0, 0)]
        is_heard = rules.video == WITH_SOUND
        seconds = seconds_of(data, rules.audio_max_seconds) if is_heard else None
        return Outline(self.kind_in_prompt(rules), sizes, seconds)

    def kind_in_prompt(self, rules: Decoding) -> MediumKind:
        """Return as what a model gets a video."""
        return IMAGES if rules.video == FRAMES else self

    def images(self, piece: "Video") -> "Sequence[Image.Image]":
        """Return the frames."""
        return piece.frames

    pictures = images

    def needs_model(self, rules: Decoding, *, is_there: bool, options: Container[str]) -> bool:
        """Return whether videos go in as videos: there are some, or that was asked for."""
        return rules.video != FRAMES and (is_there or "video" in options)

    def facts(
        self, rules: Decoding, *, is_there: bool, options: Container[str]
    ) -> dict[str, int | str]:
        """Return what the model gets, and the number of frames, where that was given, too."""
        known = {"video": rules.video, "video_frames": rules.frames}
        return {name: value for name, value in known.items() if is_there or name in options}


VIDEOS = Videos()
