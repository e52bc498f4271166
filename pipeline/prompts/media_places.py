"""What a chat template does with the media of a prompt, and how they come to stand at their marks.

Some templates put all images of a turn before its text (LLaVA, LLaVA-OneVision, Emu3), or sort two
pieces by their type (Ministral). Rendering shows it: a template is given images, and words that it
does not know. Where it moves an image, a prefix in Jinja joins the turn to one piece of text, with
the model's own image token at the place of each image. The template itself is not changed, so a
turn begins and ends as before.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

from jinja2 import TemplateError

from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.errors import ModelError
from savs.pipeline.prompts.media.catalogue import INPUTS, inputs_for, inputs_of
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.prompts.prompt_form import ONE_IMAGE

IMAGE, VIDEO, TEXT = INPUTS[IMAGES].letter, INPUTS[VIDEOS].letter, "T"
"""Kinds of pieces; a prompt is a string of them, such as `ITI`."""
_TYPES = {inputs.letter: inputs.word for inputs in INPUTS.values()}
"""Kind of a piece -> its type in a conversation."""
JOINED = "images_in_text"
"""Key of a turn whose pieces the prefix joins."""
PROBES = INPUTS[IMAGES].probes
"""Prompts that show whether a template moves images."""
_WORD = re.compile(r"word\d+word")


def kinds_of(pieces: Pieces) -> str:
    """Return the kinds of a prompt's pieces, in reading order.

    Examples
    --------
    >>> from PIL import Image
    >>> kinds_of(("Is ", Image.new("RGB", (1, 1)), " red?"))
    'TIT'
    """
    return "".join(TEXT if isinstance(piece, str) else inputs_of(piece).letter for piece in pieces)


@contextmanager
def template_errors() -> Iterator[None]:
    """Turn what a chat template raises, or is not allowed in its sandbox, into a ModelError.

    What a prompt form says of some prompts becomes a ValueError, which skips these.
    """
    try:
        yield
    except TemplateError as error:
        if str(error) == ONE_IMAGE:
            raise ValueError(ONE_IMAGE) from error
        raise ModelError(
            f"the model's chat template fails ({error}); correct chat_template.jinja in its folder"
        ) from error


class MediaPlaces:
    """Says where the chat template of a processor puts images; made by `media_places`."""

    def __init__(self, processor: Any, template: str) -> None:
        self.processor = processor
        self.template = template
        self._marks: dict[str, str | None] = {}
        self._moved: dict[str, bool] = {}
        self._spaces: dict[str, list[str]] = {}

    def mark_of(self, kind: str) -> str | None:
        """Return what the template writes for one medium of a kind; None if that cannot be seen."""
        if kind not in self._marks:
            self._marks[kind] = self._find_mark(kind)
        return self._marks[kind]

    def _find_mark(self, kind: str) -> str | None:
        for fewer, more in ((kind + TEXT, 2 * kind + TEXT), (TEXT, kind + TEXT)):
            try:
                return self._added(self._render(fewer), self._render(more))
            except ValueError:  # some refuse two images, or what they do not know
                continue
        return None

    def _marks_of(self, kinds: str) -> dict[str, str | None]:
        """Return the mark of each kind but text that is among some kinds."""
        return {kind: self.mark_of(kind) for kind in _TYPES if kind in kinds}

    def joining(self, kinds: str = IMAGE) -> str:
        """Return the template with a prefix that joins the pieces of the turns that have `JOINED`.

        `kinds` are those of the pieces, for which it has marks.
        """
        marks = "".join(
            f"{json.dumps(mark)} if piece['type'] == '{_TYPES[kind]}' else "
            for kind, mark in self._marks_of(kinds).items()
        )
        return (
            "{% if messages[0]['" + JOINED + "'] %}{% set joined = namespace(turns=[]) %}"
            "{% for turn in messages %}{% set whole = namespace(text='') %}"
            "{% for piece in turn['content'] %}{% set whole.text = whole.text + ("
            + marks
            + "piece['text']) %}{% endfor %}"
            "{% set content = [{'type': 'text', 'text': whole.text}] %}"
            "{% set joined.turns = joined.turns + [{'role': turn['role'], 'content': content}] %}"
            # the last line break is the environment's to remove: the template begins its line
            "{% endfor %}{% set messages = joined.turns %}{% endif %}\n" + self.template
        )

    def are_moved(self, kinds: str) -> bool:
        """Return whether the template moves images; ValueError if they cannot be joined."""
        if kinds not in self._moved:
            self._moved[kinds] = self._try(kinds)
        return self._moved[kinds]

    def space_after(self, kind: str) -> str:
        r"""Return the white space that the template writes between an image or a video and a text.

        A text that follows brings its own: `<image>\nWhat is this?` has one line break, not two.
        """
        return self.spaces(kind + TEXT)[0]

    def spaces(self, kinds: str) -> list[str]:
        """Return the white space that the template writes between the pieces of a prompt.

        There is none where pieces are moved or cannot be seen, or something else is between them.
        """
        if kinds not in self._spaces:
            marks = self._marks_of(kinds)
            wanted = [_word(n) if kind == TEXT else marks[kind] for n, kind in enumerate(kinds)]
            if None in wanted:
                return [""] * (len(kinds) - 1)
            form = r"(\s*)".join(map(re.escape, map(str, wanted)))
            between = re.search(form, self._render(kinds))
            self._spaces[kinds] = [*between.groups()] if between else [""] * (len(kinds) - 1)
        return self._spaces[kinds]

    def moves(self, probes: Sequence[str] = PROBES) -> bool:
        """Return whether some prompt must be joined, and can be."""
        return True in map(self._needs_mark, probes)

    def describe(self) -> str:
        """Return one line for the user."""
        needs_mark = {self._needs_mark(kinds) for kinds in PROBES}
        if None in needs_mark:
            return "refused where text is before an image: the chat template moves or hides it"
        if True in needs_mark:
            mark = self.mark_of(IMAGE)
            return f"the chat template moves images: {mark} in the text keeps their places"
        return "as the chat template has them"

    def _needs_mark(self, kinds: str) -> bool | None:
        """Return `are_moved`; None if images cannot stand at their marks.

        False, too, where the template takes no such prompt, for example one of two images.
        """
        try:
            return self.are_moved(kinds)
        except ModelError:
            return False
        except ValueError:
            return None

    def _try(self, kinds: str) -> bool:
        if len(set(kinds)) < 2:
            return False
        marks = self._marks_of(kinds)
        if marks.get(IMAGE, "") is None:
            if TEXT + IMAGE not in kinds:  # all images are before the text
                return False
            self._render(kinds)  # may say itself why it cannot be rendered
            raise ValueError(
                "the model's chat template does not show where it puts an image, so images cannot"
                " be put at their marks; take the marks out of the prompt: all images then stand"
                " before it"
            )
        known = [str(mark) for mark in marks.values()]
        wanted = [_word(n) if kind == TEXT else str(marks[kind]) for n, kind in enumerate(kinds)]
        plain = self._render(kinds)
        if _order(plain, known) == wanted:
            return False
        joined = self._render(kinds, join=True)
        if _order(joined, known) != wanted or _frame(joined, known) != _frame(plain, known):
            raise ValueError(
                f"the model's chat template moves images: {_as_text(wanted)} becomes"
                f" {_as_text(_order(plain, known))}, and {' or '.join(known)} in the text does not"
                " prevent it; take the marks out of the prompt: all images then stand before it"
            )
        return True

    def _render(self, kinds: str, *, join: bool = False) -> str:
        content = [
            {"type": "text", "text": _word(n)} if kind == TEXT else {"type": _TYPES[kind]}
            for n, kind in enumerate(kinds)
        ]
        # SmolVLM's processor has a template of its own for videos, unless one is given
        plain = None if VIDEO in kinds else self.template
        with template_errors():
            return self.processor.apply_chat_template(
                [{"role": "user", "content": content, JOINED: join}],
                chat_template=self.joining(kinds) if join else plain,
                add_generation_prompt=True,
                tokenize=False,
            )

    def _added(self, fewer: str, more: str) -> str | None:
        """Return the control tokens that stand for the one image that `more` has more."""
        tokens = self._control_tokens
        count = Counter(tokens.findall(more))
        count.subtract(tokens.findall(fewer))
        matches = [match for match in tokens.finditer(more) if count[match[0]] > 0]
        one = matches[: sum(n for n in count.values() if n > 0)]
        if not one or Counter(match[0] for match in one) != +count:
            return None
        return more[one[0].start() : one[-1].end()]

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        """Everything that may stand for an image: added tokens, and those the processor names.

        White space is left out, which some tokenizers add as tokens.
        """
        known = {str(token) for token in self.processor.tokenizer.added_tokens_decoder.values()}
        named = (v for name, v in vars(self.processor).items() if name.endswith("_token"))
        known |= {value for value in named if isinstance(value, str)}
        longest = sorted(filter(str.strip, known), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest)) or "(?!)")


def media_places(processor: Any) -> MediaPlaces | None:
    """Return what is known of a processor's chat template; None if it has none, or no media."""
    template = getattr(processor, "chat_template", None)
    if isinstance(template, Mapping):
        template = template.get("default")
    parts = (getattr(processor, inputs.part, None) for inputs in INPUTS.values())
    if template is None or not any(parts):
        return None
    return _media_places(processor, str(template))


def takes(processor: Any, kind: MediumKind) -> bool:
    """Return whether a processor reads a kind of media, and its chat template can place it."""
    inputs = inputs_for(kind)
    if inputs.reader(processor) is None or not inputs.needs_place:
        return inputs.reader(processor) is not None
    places = media_places(processor)
    return places is not None and places.mark_of(inputs.letter) is not None


@lru_cache(maxsize=4)
def _media_places(processor: Any, template: str) -> MediaPlaces:
    return MediaPlaces(processor, template)


def _order(rendered: str, marks: Sequence[str]) -> list[str]:
    return re.findall("|".join([*map(re.escape, marks), _WORD.pattern]), rendered)


def _frame(rendered: str, marks: Sequence[str]) -> str:
    """Return all but images and white space, which a template may put around images."""
    for mark in marks:
        rendered = rendered.replace(mark, "")
    return "".join(rendered.split())


def _word(number: int) -> str:
    return f"word{number}word"


def _as_text(order: Sequence[str]) -> str:
    """Return an order of marks and words as text: `2 images, text`."""
    runs = [
        (is_text, len(list(run)))
        for is_text, run in groupby(order, key=lambda part: _WORD.fullmatch(part) is not None)
    ]
    return ", ".join(
        "text" if is_text else f"{count} image{'s' * (count > 1)}" for is_text, count in runs
    )
