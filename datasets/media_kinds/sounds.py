"""Sounds: a kind of media with marks, since nothing else says that a video is to be heard."""

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from savs.datasets.media_kinds.decoding import WITH_SOUND, Decoding
from savs.datasets.media_kinds.medium import MediumKind, Outline, Player

if TYPE_CHECKING:
    from PIL import Image

    from savs.datasets.media_kinds.decoders.sounds import Sound

RESAMPLER = "libswresample, mean of the channels"
"""How a sound becomes one channel at another rate; part of the store's identity."""
IN_MEMORY = {"array", "sampling_rate"}
"""Keys of a sound, as data sets decode it; a `path` may be there, too."""


class Sounds(MediumKind):
    """Sounds, which are marked: nothing else says that a video is to be heard."""

    noun, mark, columns = "sound", "<audio>", ("audio",)
    column_words = ("audio", "sound", "speech", "wav")
    suffixes = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aif", ".aiff", ".aifc")
    usual_suffix = ".wav"
    in_memory = "a dictionary with the array and the sampling_rate of a sound"
    recorded: ClassVar = {"audio": str, "audio_max_seconds": int}
    one = "name of one sound, or of a video whose sound is read"
    question = "What do you hear?"

    @property
    def of(self) -> type:
        """The class of decoded sounds."""
        from savs.datasets.media_kinds.decoders.sounds import Sound

        return Sound

    def has_content(self, data: bytes) -> bool:
        """Return whether a file is a sound; a video is not."""
        from savs.datasets.media_kinds.decoders.containers import sound_of

        return sound_of(data) is not None

    def decode(self, data: bytes, name: str, rules: Decoding) -> "list[Sound]":
        """Return the sound of a sound file or a video, see `decode_sound`."""
        from savs.datasets.media_kinds.decoders.sounds import decode_sound

        return [decode_sound(data, name, rules.sound_rate, rules.audio_max_seconds)]

    def file_of(self, value: Any, name: str) -> bytes | None:
        """Return the bytes of a WAV of a dictionary with the array and rate of a sound."""
        if not (isinstance(value, Mapping) and value.keys() >= IN_MEMORY):
            return None
        from savs.datasets.media_kinds.decoders.sounds import sound_file

        return sound_file(value["array"], value["sampling_rate"], name)

    def outline(self, data: bytes, rules: Decoding) -> Outline:
        """Return how long the sound lasts."""
        from savs.datasets.media_kinds.decoders.sounds import seconds_of

        return Outline(self, seconds=seconds_of(data, rules.audio_max_seconds))

    def pictures(self, piece: "Sound") -> "Sequence[Image.Image]":
        """Return the waveform."""
        from savs.datasets.media_kinds.decoders.sounds import waveform

        return (waveform(piece),)

    def player(self, piece: "Sound") -> Player:
        """Return the first seconds of the sound."""
        from savs.datasets.media_kinds.decoders.sounds import playable

        return Player("audio", "audio/ogg", playable(piece), f"{piece.seconds:.1f} s")

    def facts(
        self, rules: Decoding, *, is_there: bool, options: Container[str]
    ) -> dict[str, int | str]:
        """Return how sounds, also of videos, are resampled, and where they are cut, if asked."""
        del options
        if not (is_there or rules.video == WITH_SOUND):
            return {}
        cut = rules.audio_max_seconds
        return {"audio": RESAMPLER} | ({} if cut is None else {"audio_max_seconds": cut})


SOUNDS = Sounds()
