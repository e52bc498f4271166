"""From planned examples to model inputs: media read and decoded one batch ahead of the model."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from PIL import Image

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.prompt import SPLIT, split_prompt
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.prompts import Pieces


@dataclass(frozen=True, slots=True)
class Prepared:
    """Inputs that are ready to run."""

    places: tuple[int, ...]
    """Places of the examples in their shard, in the order of the batch."""
    inputs: Any
    """What the model takes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An example that cannot be run."""

    place: int
    reason: str


def pieces_of(example: Example, media: MediaFolder, placeholders: str = SPLIT) -> Pieces:
    """Return an example's prompt with its images decoded; a video stands as its frames, in order.

    Raises
    ------
    MediaError
        An image or a video is missing or cannot be decoded.
    """
    images = [media.images(name) for name in example.media]
    pieces = split_prompt(example.prompt, len(images), placeholders)
    seen = [images[piece] if isinstance(piece, int) else [piece] for piece in pieces]
    return tuple(chain.from_iterable(seen))


def prepare(
    model: LoadedModel, examples: Sequence[Example], places: Sequence[int], media: MediaFolder
) -> list[Prepared | Refused]:
    """Return the inputs of one batch; what cannot be read or processed is refused by itself.

    Where examples differ in their number of images, as videos make them, each number is a batch
    of its own: some models are wrong where it differs within a batch.
    """
    found: list[Prepared | Refused] = []
    usable: list[tuple[int, Pieces]] = []
    for place in places:
        try:
            pieces = pieces_of(examples[place], media, model.placeholders)
            usable.append((place, pieces))
        except MediaError as error:
            found.append(Refused(place, str(error)))
    alike: dict[int, list[tuple[int, Pieces]]] = {}
    for place, pieces in usable:
        alike.setdefault(images_in(pieces), []).append((place, pieces))
    return [*found, *chain.from_iterable(_process(model, part) for part in alike.values())]


def images_in(pieces: Pieces) -> int:
    """Return how many images a prompt has."""
    return sum(isinstance(piece, Image.Image) for piece in pieces)


def _process(model: LoadedModel, batch: list[tuple[int, Pieces]]) -> list[Prepared | Refused]:
    """Run the processor; where it refuses a batch, halve it until the culprit is alone."""
    if not batch:
        return []
    try:
        inputs = model.inputs([pieces for _, pieces in batch])
        return [Prepared(tuple(place for place, _ in batch), inputs)]
    except (ValueError, IndexError) as error:
        if len(batch) == 1:
            sizes = [piece.size for piece in batch[0][1] if isinstance(piece, Image.Image)]
            return [
                Refused(batch[0][0], f"the processor refuses it (images of {sizes} px): {error}")
            ]
        half = len(batch) // 2
        return _process(model, batch[:half]) + _process(model, batch[half:])


def prepared_ahead(
    model: LoadedModel,
    examples: Sequence[Example],
    batches: Iterable[Sequence[int]],
    media: MediaFolder,
) -> Iterator[Prepared | Refused]:
    """Yield `prepare` of each batch in order, one batch ahead of the consumer, in one thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="savs-inputs") as pool:
        ahead: deque[Future[list[Prepared | Refused]]] = deque()
        for batch in batches:
            ahead.append(pool.submit(prepare, model, examples, batch, media))
            if len(ahead) > 1:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
