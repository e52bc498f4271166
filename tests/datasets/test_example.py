import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.datasets.example import split_prompt
from savs.foundation.errors import ParameterError

IMAGE_MARK, VIDEO_MARK, AUDIO_MARK = "<image>", "<video>", "<audio>"

PROMPTS = (
    st.lists(
        st.one_of(
            st.sampled_from([IMAGE_MARK, VIDEO_MARK, "<image", "image>", "<", " ", "\n"]), st.text()
        )
    )
    .map("".join)
    .filter(lambda prompt: AUDIO_MARK not in prompt)
)
"""Texts in which marks of images and videos, and what looks like one, are frequent."""


@pytest.mark.parametrize(
    ("prompt", "media", "pieces"),
    [
        ("What is this?", 0, ("What is this?",)),
        ("What is this?", 1, (0, "What is this?")),
        ("Same?", 3, (0, 1, 2, "Same?")),
        ("<image>What is this?", 1, (0, "What is this?")),
        ("What is <image>", 1, ("What is ", 0)),
        ("Is <image> like <image>?", 2, ("Is ", 0, " like ", 1, "?")),
        ("<image><image>", 2, (0, 1)),
        ("<image>\n<image>", 2, (0, "\n", 1)),
        ("<Image> <img> < image>", 1, (0, "<Image> <img> < image>")),
        ("<<image>>", 1, ("<", 0, ">")),
        ("", 2, (0, 1)),
        ("", 0, ()),
    ],
)
def test_pieces_stand_in_reading_order(
    prompt: str, media: int, pieces: tuple[str | int, ...]
) -> None:
    assert split_prompt(prompt, media) == pieces


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^2 <audio> placeholders for 1 media$"):
        split_prompt("<audio>Same as<audio> in <video>?", 1)
    with pytest.raises(ParameterError, match="`placeholders` is 'drop', expected split or keep"):
        split_prompt("?", 0, "drop")


@given(PROMPTS, st.integers(0, 5))
def test_pieces_are_the_prompt_with_each_image_once(prompt: str, media: int) -> None:
    marks = re.findall(f"{IMAGE_MARK}|{VIDEO_MARK}", prompt)
    if len(marks) not in (0, media):
        mark = IMAGE_MARK if IMAGE_MARK in marks else VIDEO_MARK
        with pytest.raises(
            ValueError, match=f"^{len(marks)} {mark} placeholders for {media} images$"
        ):
            split_prompt(prompt, media)
        return
    pieces = split_prompt(prompt, media)
    assert [piece for piece in pieces if isinstance(piece, int)] == list(range(media))
    assert "" not in pieces
    first = [] if marks else [*range(media)]  # images come first where none is marked
    assert [*pieces[: len(first)]] == first
    in_order = iter(marks)
    texts = (next(in_order) if isinstance(p, int) else p for p in pieces[len(first) :])
    assert "".join(texts) == prompt
    assert not any(isinstance(a, str) and isinstance(b, str) for a, b in pairwise(pieces))
