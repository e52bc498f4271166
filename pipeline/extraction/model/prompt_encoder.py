"""How prompts become a model's inputs.

Worker processes have one `PromptEncoder` each; the process of the model has the same.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from savs.datasets.example import SPLIT
from savs.datasets.media.videos import videos_of
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.pieces import Pieces
from savs.pipeline.extraction.model.prompt_form import PromptForm
from savs.pipeline.extraction.model.prompts import chat_inputs, conversation_inputs
from savs.pipeline.extraction.model.user_code import OwnCode
from savs.pipeline.extraction.model.video_inputs import NOT_FOR_CODE

ToInputs = Callable[[Any, Sequence[Pieces]], Any]
"""Processor and prompts -> what the model takes, padded on the left."""
_TOKENIZING = threading.Lock()
"""Tokenizers keep padding as state: two threads at once would give each other's."""
NO_CODE = OwnCode()
RAW_IMAGES = {"do_rescale": False, "do_normalize": False}
"""Options of an image processor that leave pixels as they are, 0 to 255, see `PixelScale`."""


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """Makes prompts into a model's inputs; made by `load_encoder`."""

    name: str
    """Hub id, or a folder's own name."""
    processor: Any
    """The processor, or the tokenizer of a model that reads text alone."""
    to_inputs: ToInputs = chat_inputs
    kind: Any = None
    """The class that loads the model, see `load_encoder`."""
    config: Any = None
    revision: str | None = None
    """Commit of the checkpoint where it came from the hub."""
    code: OwnCode = NO_CODE
    """The user's code that replaces a step."""
    pixels: Mapping[str, int] | None = None
    """`min_pixels` and `max_pixels`, where they were given."""
    placeholders: str = SPLIT
    """What is done with the marks of images in a prompt: `split` or `keep`."""
    form: PromptForm | None = None
    """The prompt form in place of a chat template, the user's or a built-in one."""
    image_mark: str | None = None
    """What a prompt form has for an image; None where the processor puts that in front."""
    is_dual: bool = False
    """Whether it is a dual encoder's, which reads an image or a text, see `dual_inputs`."""
    text_tokens: int | None = None
    """How many tokens a dual encoder reads of a text."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, which a processor has inside."""
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def images(self) -> Any:
        """The image processor, None where the model reads no images."""
        return getattr(self.processor, "image_processor", None)

    def require_prompts(self) -> None:
        """Raise ModelError where the model is a dual encoder, which no prompt is put to."""
        if self.is_dual:
            raise ModelError(
                f"{self.name} is a dual encoder: it reads an image or a text, and no prompt of"
                " both; `savs extract` runs it, and compares its batches with single examples"
            )

    def text_read(self, prompt: str, media: Collection[str]) -> str:
        """Return what the model reads of a prompt: a dual encoder nothing beside an image."""
        return "" if self.is_dual and media else prompt

    def encode(
        self, prompts: Sequence[Pieces], image_options: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the model's inputs for a batch of prompts, padded on the left.

        Parameters
        ----------
        prompts
            Text and images in reading order.
        image_options
            Options of the image processor, like `RAW_IMAGES`; the user's own code takes none.

        Raises
        ------
        ValueError
            A prompt or an image cannot be put to this model. A processor may raise anything else.
        """
        if self.code.to_inputs is not None and any(map(videos_of, prompts)):
            raise ValueError(NOT_FOR_CODE)
        with _TOKENIZING:
            if image_options is not None:
                to_inputs: Any = self.to_inputs if self.code.to_inputs is None else chat_inputs
                return to_inputs(self.processor, prompts, image_options)
            return self.to_inputs(self.processor, prompts)

    def encode_conversation(
        self, demonstrations: Sequence[tuple[Pieces, str]], question: Pieces | None = None
    ) -> Any:
        """Return the inputs of prompts with their answers, see `conversation_inputs`."""
        with _TOKENIZING:
            return conversation_inputs(self.processor, demonstrations, question)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, without those of the chat template."""
        with _TOKENIZING:
            return [len(ids) for ids in self.tokenizer(list(texts))["input_ids"]]
