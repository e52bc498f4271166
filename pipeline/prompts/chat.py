"""From prompts to a model's inputs: one user turn in its chat template, padded on the left."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from PIL import Image

from savs.datasets.example import KEEP
from savs.datasets.media_kinds.catalogue import Decoded
from savs.datasets.media_kinds.decoders.sounds import Sound
from savs.datasets.media_kinds.decoders.videos import Video, all_sounds_of, videos_of
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.errors import ModelError
from savs.pipeline.prompts.input_names import IDS, KINDS, MASK
from savs.pipeline.prompts.media.catalogue import INPUTS, images_in, inputs_of, is_plain
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.prompts.media_places import (
    JOINED,
    TEXT,
    MediaPlaces,
    kinds_of,
    media_places,
    takes,
    template_errors,
)


def chat_inputs(
    processor: Any, prompts: Sequence[Pieces], image_options: Mapping[str, Any] | None = None
) -> Any:
    """Return a batch of prompts as a processor makes it, generation prompt included.

    Images, videos and sounds stand where they are among the pieces, also if the chat template would
    move them. The model's own control tokens in a prompt's text are run on it as plain text.
    `image_options` go to the image processor, and are for prompts without videos. A tokenizer in
    place of a processor reads text alone. ValueError if the processor refuses a prompt or a medium,
    media cannot be put at their marks, or the model takes no such media.
    """
    _require_media(processor, prompts)
    turns = [[_turn(processor, pieces)] for pieces in prompts]
    return _apply(processor, turns, prompts, image_options)


def pictured_inputs(
    processor: Any, prompts: Sequence[Pieces], image_options: Mapping[str, Any] | None = None
) -> Any:
    """Return `chat_inputs` of a model that takes no prompt without an image; ValueError for one."""
    if not all(map(images_in, prompts)):  # what it thinks of videos, `chat_inputs` says
        raise ValueError("this model takes no prompt without an image")
    return chat_inputs(processor, prompts, image_options)


PROMPTS = "prompts"
"""Input of an engine that has a processor of its own: what `worded_prompts` makes."""


def worded_prompts(
    processor: Any, prompts: Sequence[Pieces], *, needs_image: bool = False
) -> dict[str, Any]:
    """Return prompts for vLLM, which makes the model's inputs of them: tokens, and images in order.

    The tokens are those of `chat_inputs` before the mark of an image becomes as many as it has
    patches. Control tokens in a prompt's text would be run as such, so they are refused. ValueError
    as there; or a prompt has media that are no images, control tokens, or no image where the model
    `needs_image`.
    """
    _require_media(processor, prompts)
    if not all(map(is_plain, prompts)):
        raise ValueError("vLLM is given texts and images, no videos and no sounds")
    if needs_image and not all(map(images_in, prompts)):
        raise ValueError("this model takes no prompt without an image")
    tokenizer = getattr(processor, "tokenizer", processor)
    if _mention_control_tokens(tokenizer, prompts):
        raise ValueError(
            "the prompt's text holds one of the model's control tokens, which vLLM would run on as"
            " that token"
        )
    worded = []
    for pieces in prompts:
        turn, options = _turn(processor, pieces), dict[str, Any]()
        places = media_places(processor)
        if places is not None and JOINED in turn:
            options["chat_template"] = places.joining(kinds_of(pieces))
        with template_errors():
            text = processor.apply_chat_template(
                [turn], add_generation_prompt=True, tokenize=False, **options
            )
        begins = processor is tokenizer or text.startswith(tokenizer.bos_token or "\0")
        tokens = tokenizer(text, add_special_tokens=not begins)[IDS]
        images = [piece for piece in pieces if isinstance(piece, Image.Image)]
        media = {"multi_modal_data": {"image": images}} if images else {}
        worded.append({"prompt_token_ids": [*tokens], **media})
    return {PROMPTS: worded}


def conversation_inputs(
    processor: Any, demonstrations: Sequence[tuple[Pieces, str]], question: Pieces | None = None
) -> Any:
    """Return prompts with their answers as one conversation, and a last one without, if given.

    The parameters are those of `chat_inputs`.
    """
    prompts = [pieces for pieces, _ in demonstrations] + ([] if question is None else [question])
    _require_media(processor, prompts)
    turns: list[dict[str, Any]] = []
    for pieces, label in demonstrations:
        turns += [_turn(processor, pieces), _turn(processor, (label,), role="assistant")]
    if question is not None:
        turns.append(_turn(processor, question))
    places = media_places(processor)
    if places is not None and any(JOINED in one for one in turns):
        turns = [one if JOINED in one else _as_joined(places, one) for one in turns]
    return _apply(processor, [turns], prompts, answer=question is not None)


def _apply(
    processor: Any,
    turns: Sequence[Sequence[Mapping[str, Any]]],
    prompts: Sequence[Pieces],
    image_options: Mapping[str, Any] | None = None,
    *,
    answer: bool = True,
) -> Any:
    """Return conversations as a processor makes them; with `answer` an answer is to follow."""
    mentioned = _mention_control_tokens(getattr(processor, "tokenizer", processor), prompts)
    if not hasattr(processor, "tokenizer"):
        with template_errors():
            return processor.apply_chat_template(
                turns,
                add_generation_prompt=answer,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                padding=True,
                tokenizer_kwargs={"padding_side": "left"},
                **({"sanitize_control_tokens": True} if mentioned else {}),
            )
    media = {k: list(chain.from_iterable(map(of.among, prompts))) for k, of in INPUTS.items()}
    videos: list[Video] = media[VIDEOS]
    padding = {"padding": True, "padding_side": "left"}
    # A feature extractor would take the padding for its own, and some then fail.
    options: dict[str, Any] = {"text_kwargs": padding} if media[SOUNDS] else padding
    for kind, of_kind in media.items():
        options |= INPUTS[kind].options(processor, of_kind)
    options |= image_options or {}
    if KINDS in getattr(processor, "model_input_names", ()):
        options[f"return_{KINDS}"] = True  # not every processor does that by itself
    is_heard = any(video.sound is not None for video in videos)
    places = media_places(processor)
    is_joined = places is not None and any(JOINED in conversation[0] for conversation in turns)
    template = places.joining("".join(map(kinds_of, prompts))) if places and is_joined else None
    templates = [template]
    if not videos:  # else the template may be one that the processor has for videos alone
        # where the tokenizer begins each text itself, the template shall do it
        templates.append("{{ bos_token }}" + str(template or processor.chat_template))
    refusal: Exception | None = None
    for template in templates:
        try:
            with template_errors():
                if is_heard:
                    inputs = _with_video_sound(
                        processor, turns, prompts, template, options, answer=answer
                    )
                else:
                    inputs = processor.apply_chat_template(
                        turns,
                        chat_template=template,
                        add_generation_prompt=answer,
                        tokenize=True,
                        return_dict=True,
                        return_tensors="pt",
                        **({"sanitize_control_tokens": True} if mentioned else {}),  # since 5.24
                        processor_kwargs=options,
                    )
        except NotImplementedError as error:
            refusal = error
            continue
        for kind, of_kind in media.items():
            INPUTS[kind].complete(inputs, processor, of_kind)
        inputs.pop("labels", None)  # PaliGemma's processor makes them, and a loss would be computed
        return pad_left(inputs)
    raise ValueError(
        "the prompt's text holds one of the model's control tokens, which this processor cannot"
        f" run on it as plain text ({refusal})"
    ) from refusal


def _with_video_sound(
    processor: Any,
    turns: Sequence[Sequence[Mapping[str, Any]]],
    prompts: Sequence[Pieces],
    template: str | None,
    options: Mapping[str, Any],
    *,
    answer: bool,
) -> Any:
    """Return conversations whose videos have their sounds, as a processor makes them.

    Its `apply_chat_template` would read the sound from a file by itself, so its two steps are taken
    here. It spreads the sound over the frames by their rate, and takes one rate for all of them.
    """
    videos = [video for pieces in prompts for video in videos_of(pieces)]
    rates = {len(video.frames) / video.duration_s for video in videos}
    if len(rates) > 1:
        raise ValueError(
            "its videos have other rates of frames, and the processor spreads their sounds by one"
        )
    if _mention_control_tokens(processor.tokenizer, prompts):
        raise ValueError("the prompt's text holds one of the model's control tokens")
    text = processor.apply_chat_template(
        turns, chat_template=template, add_generation_prompt=answer, tokenize=False
    )

    whole = [
        [piece for turn in conversation for piece in turn["content"]] for conversation in turns
    ]
    images, frames = (
        [[piece[kind] for piece in pieces if piece["type"] == kind] for pieces in whole]
        for kind in ("image", "video")
    )
    heard = [piece for p in prompts for piece in p if isinstance(piece, Video | Sound)]
    numbers = iter(range(len(videos)))
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)  # its arithmetic with tensors, in numpy 2
        inputs = processor(
            text=text,
            images=images if any(images) else None,
            videos=frames if any(frames) else None,
            audio=[sound.samples for pieces in prompts for sound in all_sounds_of(pieces)],
            audio_from_video_indices=[
                next(numbers) if isinstance(p, Video) else None for p in heard
            ],
            load_audio_from_video=True,
            return_tensors="pt",
            fps=rates.pop(),
            **options,
        )
    inputs["use_audio_in_video"] = True
    return inputs


def reads_video_sound(processor: Any) -> bool:
    """Return whether a processor can put the sound of a video between its frames."""
    return hasattr(processor, "replace_video_with_audio_token")


def require_plain_mark(name: str, processor: Any, placeholders: str) -> None:
    """Raise ModelError if `keep` would leave a mark in the text that is a token to the model."""
    tokenizer = getattr(processor, "tokenizer", processor)
    if placeholders == KEEP and IMAGES.mark in _control_tokens(tokenizer):
        raise ModelError(
            f"`placeholders` keep would leave {IMAGES.mark} in the text, which is a token of its"
            f" own to {name} and no plain text; drop the option: each image then stands at its mark"
        )


def _require_media(processor: Any, prompts: Sequence[Pieces]) -> None:
    """Raise ValueError if a model does not read the media of prompts, or not to their end."""
    for kind, inputs in INPUTS.items():
        if any(map(inputs.among, prompts)):
            if not takes(processor, kind):
                raise ValueError(inputs.refusal)
            inputs.require(processor, prompts, _alone)


def _alone(processor: Any, pieces: Pieces) -> Any:
    return _apply(processor, [[_turn(processor, pieces)]], [pieces])


def _turn(processor: Any, pieces: Pieces, role: str = "user") -> dict[str, Any]:
    """Return a prompt as a turn; it has the key `JOINED` where the template would move images."""
    if not hasattr(processor, "tokenizer"):
        return {"role": role, "content": "".join(map(str, pieces))}
    places = media_places(processor)
    is_joined = places is not None and places.are_moved(kinds_of(pieces))
    if places is not None and not is_joined:
        pieces = _without_repeated_space(places, pieces)
    turn: dict[str, Any] = {"role": role, "content": [_content(piece) for piece in pieces]}
    return turn | ({JOINED: True} if is_joined else {})


def _as_joined(places: MediaPlaces, turn: Mapping[str, Any]) -> dict[str, Any]:
    """Return a turn that need not be joined so that it reads the same in a conversation that is.

    The template writes its own white space between pieces; where they are joined, it does not.
    """
    letters = {inputs.word: inputs.letter for inputs in INPUTS.values()} | {"text": TEXT}
    spaces = places.spaces("".join(letters[piece["type"]] for piece in turn["content"]))
    content = [
        part
        for piece, space in zip(turn["content"], [*spaces, ""], strict=False)
        for part in (piece, _content(space))
    ]
    return {**turn, "content": content, JOINED: True}


def _without_repeated_space(places: MediaPlaces, pieces: Pieces) -> Pieces:
    r"""Return a prompt whose texts lack the white space that the template writes in front of them.

    A question `<image>\nWhat is this?` has the line break that LLaVA's template has, too.
    """
    kinds = kinds_of(pieces)
    return tuple(
        piece.removeprefix(places.space_after(before))
        if isinstance(piece, str) and before not in (" ", TEXT)
        else piece
        for before, piece in zip(" " + kinds, pieces, strict=False)
    )


def _content(piece: str | Decoded) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    inputs = inputs_of(piece)
    return {"type": inputs.word, inputs.word: inputs.value(piece)}


def _mention_control_tokens(tokenizer: Any, prompts: Sequence[Pieces]) -> bool:
    tokens = _control_tokens(tokenizer)
    known = re.compile("|".join(map(re.escape, tokens)) or "(?!)")
    return any(
        known.search(piece) for pieces in prompts for piece in pieces if isinstance(piece, str)
    )


def _control_tokens(tokenizer: Any) -> list[str]:
    return [str(token) for token in tokenizer.added_tokens_decoder.values()]


QUERY = "qformer_"
"""Inputs of a Q-Former that reads the prompt, too: its positions count from the first token."""


def pad_left(inputs: Any) -> Any:
    """Return a batch with all padding on the left, in the place of the given one.

    For processors that put an image in front of a padded text: BLIP-2, InstructBLIP and Kosmos-2
    pad the text by itself, so padding stands between the image and the text, or after both.
    What a Q-Former reads is padded on the right. Only inputs of the shape of their mask,
    `(batch, tokens)`, are changed.
    """
    for prefix, side in (("", 1), (QUERY, -1)):
        mask = inputs.get(prefix + MASK)
        if torch.is_tensor(mask):
            order = (side * mask.long()).argsort(dim=1, stable=True)
            for name, value in inputs.items():
                is_own = name.startswith(QUERY) == bool(prefix)
                if is_own and torch.is_tensor(value) and value.shape == mask.shape:
                    inputs[name] = value.gather(1, order)
    return inputs
