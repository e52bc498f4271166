"""Sounds of every format become the same samples; what is no sound is refused by its reason."""

import struct

import numpy as np
import pytest
from clips import PALETTE, plain
from clips import encode as video
from sounds import CODECS, encode, loudest_hertz, tone, wav

from savs.datasets import MediaError
from savs.datasets.media.media import MediaRules, decode_file, decode_medium
from savs.datasets.media_kinds.decoders.containers import container_of, sound_of
from savs.datasets.media_kinds.decoders.sounds import (
    PICTURE_PX,
    Sound,
    decode_sound,
    seconds_of,
    sound_file,
    waveform,
)
from savs.datasets.media_kinds.videos import VIDEOS

LOSSY = {"mp3", "opus", "m4a", "mkv"}


@pytest.mark.parametrize("suffix", CODECS)
def test_a_file_of_any_format_is_the_tone_that_it_holds(suffix):
    left = tone(2, 440, 24_000)
    data = encode(suffix, [left, left / 2])
    sound = decode_sound(data, "x", 16_000)
    assert sound.rate == 16_000
    assert sound.samples.dtype == np.float32
    assert sound.seconds == pytest.approx(2, abs=0.07 if suffix in LOSSY else 1e-3)
    assert loudest_hertz(sound.samples, 16_000) == pytest.approx(440, abs=1)
    # the mean of the channels: not their sum, and not louder by sqrt(2), as FFmpeg would mix them
    assert np.abs(sound.samples[4000:-4000]).max() == pytest.approx(0.375, rel=0.06)
    assert seconds_of(data) == pytest.approx(2, abs=0.07)


@pytest.mark.parametrize("suffix", CODECS)
def test_half_a_file_is_refused(suffix):
    data = encode(suffix, [np.random.default_rng(0).uniform(-0.5, 0.5, 48_000).astype(np.float32)])
    with pytest.raises(MediaError, match=r"truncated: .* bytes are missing|damaged: .* s are pres"):
        decode_sound(data[: len(data) // 2], "x")


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 44_100, 48_001, 192_000])
def test_any_rate_is_resampled_to_that_of_the_model(rate):
    sound = decode_sound(wav(tone(1, 300, rate), rate), "x", 16_000)
    assert len(sound.samples) == pytest.approx(16_000, abs=20)
    assert loudest_hertz(sound.samples, 16_000) == pytest.approx(300, abs=1.1)


def test_samples_at_the_rate_of_the_model_stay_as_they_are():
    samples = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    np.testing.assert_array_equal(decode_sound(wav(samples), "x").samples, samples)


def test_a_wav_that_was_written_to_a_pipe_declares_no_size():
    data = wav(tone(1))
    piped = decode_sound(data[:4] + b"\xff" * 4 + data[8:], "x")
    np.testing.assert_array_equal(piped.samples, tone(1))


def test_the_sound_of_a_film_is_the_mean_of_six_channels():
    channels = np.zeros((6, 16_000), np.float32)
    channels[2] = tone(1)
    sound = decode_sound(encode("flac", channels, 16_000), "x")
    np.testing.assert_allclose(sound.samples, tone(1) / 6, atol=1e-4)


def test_a_video_has_its_sound_and_a_sound_no_pictures():
    clip = video("mp4", [plain(PALETTE[0])] * 5, sound=True)
    assert 0.1 < decode_sound(clip, "x").seconds < 0.3
    with pytest.raises(MediaError, match="x has no sound"):
        decode_sound(video("mp4", [plain(PALETTE[0])] * 5), "x")
    long = video("mp4", [plain(PALETTE[0])] * 15, sound=tone(2))
    cut = MediaRules(video="with-sound", audio_max_seconds=1)
    assert decode_medium(long, "x", cut)[0].sound.seconds == VIDEOS.outline(long, cut).seconds == 1
    with pytest.raises(MediaError, match="x is a sound and no image: name it in a column `audio`"):
        decode_medium(wav(tone()), "x")


def stereo(left: float, right: float) -> bytes:
    """Return a WAV of two channels, each of one value."""
    data = bytearray(wav(np.tile(np.float32([left, right]), 5000)))
    data[22:24], data[28:34] = struct.pack("<H", 2), struct.pack("<IH", 8 * 16_000, 8)
    return bytes(data)


BAD = {
    "opposite": (stereo(1e30, -1e30), r"has samples of 1\.0+\d*e\+30, expected -1 to 1: scale it"),
    "one channel": (stereo(0, 19), r"has samples of 19\.0, expected -1 to 1: scale it"),
    "no samples": (wav(np.zeros(0, np.float32)), r"lasts 0\.000 s, expected at least 0\.1 s"),
    "short": (wav(tone(0.05)), r"lasts 0\.050 s, expected at least 0\.1 s"),
    "NaN": (wav(np.full(5000, np.nan, np.float32)), "has samples of nan, expected -1 to 1"),
    "infinite": (wav(np.full(5000, np.inf, np.float32)), "has samples of inf, expected -1 to 1"),
    "unscaled": (wav(tone(loud=3e4)), "has samples of 30000.0, expected -1 to 1: scale it"),
    "slow": (wav(tone(3, 20, 1_000), 1_000), "has 1,000 samples a second, expected 4,000 to"),
    "fast": (wav(tone(1, 440, 500_000), 500_000), "has 500,000 samples a second, expected"),
    "channels": (encode("flac", np.zeros((8, 16_000), np.float32)), "has 8 channels, expected at"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is not a sound of a known format"),
    "list": (b"ffconcat version 1.0\nfile /etc/passwd\n", "is not a sound of a known format"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is not a sound of a known format"),
    "header": (b"fLaC" + bytes(200), "cannot be decoded as a sound"),
    "noise": (b"OggS" + bytes(range(256)) * 9, "truncated|cannot be decoded as a sound|no sound"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_sound_has_one_reason(kind):
    data, reason = BAD[kind]
    with pytest.raises(MediaError, match=reason):
        decode_sound(data, "x")


@pytest.mark.thorough
def test_a_long_sound_is_refused_or_cut():
    hours = encode("flac", np.zeros((1, 8_000 * 700), np.float32), 8_000)
    assert len(hours) < 150_000
    with pytest.raises(MediaError, match="lasts more than 600 s: cut it, or keep the first N sec"):
        decode_sound(hours, "x", 8_000)
    cut = decode_sound(hours, "x", 8_000, cut_seconds=3)
    assert (len(cut.samples), cut.is_cut) == (24_000, True)
    assert not decode_sound(wav(tone(3)), "x", cut_seconds=3).is_cut
    [sound] = decode_medium(wav(tone(3)), "x", MediaRules(audio_max_seconds=2), "audio")
    np.testing.assert_array_equal(sound.samples, tone(2))


def test_samples_that_a_program_has():
    steps = np.array([-(2**15), 0, 2**14], np.int16).repeat(2000)
    sound = decode_sound(sound_file(steps, 16_000, "x"), "x")
    np.testing.assert_array_equal(sound.samples, steps / np.float32(2**15))
    with pytest.raises(MediaError, match=r"x is an array of uint8 \(9,\), expected \(samples,\)"):
        sound_file(np.zeros(9, np.uint8), 16_000, "x")
    with pytest.raises(MediaError, match=r"x is an array of float64 \(9, 1\), expected"):
        sound_file(np.zeros((9, 1)), 16_000, "x")
    for rate in (16_000.5, 0, 2**31):
        with pytest.raises(MediaError, match=f"x has the sampling rate {rate}, expected samples a"):
            sound_file(np.zeros(9), rate, "x")


def test_a_picture_of_a_sound_shows_where_it_is_loud():
    samples = np.concatenate([np.zeros(8000, np.float32), tone(0.5)])
    picture = np.asarray(waveform(decode_sound(wav(samples), "x")).convert("L")) < 200
    width = PICTURE_PX[0] // 2
    assert picture[:, : width - 2].sum(axis=0).max() <= 2
    assert picture[:, width + 2 :].sum(axis=0).min() >= PICTURE_PX[1] // 2 - 4


def test_a_page_shows_a_sound_as_one_also_in_the_container_of_a_video():
    for suffix in CODECS:
        [shown] = decode_file(encode(suffix, [tone(0.3, 440, 24_000)]), "x", MediaRules())
        assert isinstance(shown, Sound), suffix
    clip = video("mp4", [plain(PALETTE[0])] * 5, sound=True)
    assert not isinstance(decode_file(clip, "x", MediaRules())[0], Sound)


def test_formats_are_known_by_their_first_bytes():
    known = {suffix: encode(suffix, [tone(0.2, 440, 24_000)]) for suffix in CODECS}
    found = {suffix: sound_of(data) or container_of(data) for suffix, data in known.items()}
    names = {"opus": "ogg", "m4a": "mp4", "mkv": "matroska"}
    assert found == {suffix: names.get(suffix, suffix) for suffix in CODECS}
    assert sound_of(b"\xff\xd8\xff\xe0") is None  # JPEG
    assert sound_of(b"\xff\xea\x90\x00") is None  # a version that is none
    assert sound_of("UTF-16".encode("utf-16-le")) is None
    assert sound_of("\ufeffUTF-16".encode("utf-16-le")) is None  # its mark begins as a layer 1


def frames_of_mp3(bits_a_second: int, seconds: int) -> list[bytes]:
    """Return the frames of an MP3 of 24 kHz, without those that say how many there are."""
    data = encode("mp3", [tone(seconds, 440, 24_000)], bits_a_second=bits_a_second)
    start, frames = 10 + data[9], list[bytes]()  # after ID3
    while start < len(data):  # ISO/IEC 13818-3: kbit/s by a number of four bits
        rate = [0, *range(8, 64, 8), *range(64, 176, 16)][data[start + 2] >> 4]
        size = 72 * 1000 * rate // 24_000
        frames.append(data[start : start + size])
        start += size
    return frames[1:]


def test_an_mp3_of_varying_rate_is_as_long_as_its_frames():
    data = b"".join([*frames_of_mp3(16_000, 1), *frames_of_mp3(128_000, 2)])
    assert seconds_of(data) > 6  # a guess by the rate of its first frame
    assert decode_sound(data, "x").seconds == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("damaged", [2, 3])
def test_of_a_sound_one_packet_in_a_hundred_may_be_damaged(damaged):
    frames = frames_of_mp3(32_000, 5)
    assert 200 < len(frames) < 290
    frames[10 : 10 + damaged] = [
        one[:4] + b"\xff" * (len(one) - 4) for one in frames[10 : 10 + damaged]
    ]
    if damaged == 2:
        assert decode_sound(b"".join(frames), "x").seconds == pytest.approx(5, abs=0.2)
        return
    with pytest.raises(MediaError, match=r"x is damaged: 3 of 2\d\d packets cannot be decoded"):
        decode_sound(b"".join(frames), "x")
