"""What the parts of an extraction hand to each other: requests, jobs, prepared batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from savs.pipeline.extraction.model.shared_inputs import ImageKey


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt with its media: what runs once for all rows that are equal in both."""

    number: int
    """Counts the requests of a run."""
    example: str
    """Id of its first row, for messages."""
    prompt: str
    media: tuple[str, ...]
    """SHA-256 of each medium, in the order of the prompt."""
    images: int
    """Images that the model gets, frames of videos included, as far as known before decoding."""
    tokens: int
    """Length of the model's input, as far as known before decoding."""
    pixels: int = 0
    """Pixels of its images, as they are decoded."""
    labels: tuple[int, ...] = ()
    """The labels whose likelihood is kept, see `Answers.labels_of`."""
    generates: bool = False
    """Whether its answer is generated, see `Answers.generates_for`."""
    context: int = -1
    """The demonstrations behind which they are asked, too, by number; -1 for none."""


@dataclass(frozen=True, slots=True)
class Medium:
    """The bytes of an image or a video."""

    name: str
    """As the first row names it, for messages."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """One batch as it goes to a worker process: all that preparing it needs."""

    number: int
    requests: tuple[Request, ...]
    media: Mapping[str, Medium]
    """SHA-256 -> medium, for all media of the requests."""
    shared: bool = False
    """Prepare each image once, for all requests that show it; see `Prepared.shown`."""
    is_first: bool = False
    """Whether it is the first of its shard: what the model kept of others is not gone on with, so
    that a shard has the same bits whatever ran before it."""

    def alone(self) -> "list[Job]":
        """Return a job for each of the requests."""
        return [
            replace(self, requests=(r,), media={m: self.media[m] for m in r.media})
            for r in self.requests
        ]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Inputs that are ready to run."""

    requests: tuple[int, ...]
    """Numbers of the requests, in the order of the batch."""
    inputs: dict[str, Any]
    """What the model takes."""
    images: int
    """Images of each prompt, frames of its videos included."""
    shown: tuple[tuple[ImageKey, ...], ...] = ()
    """The images of each prompt in reading order, where they were prepared once for all prompts:
    `inputs` then hold what is said of text alone."""
    vision: Mapping[ImageKey, Mapping[str, Any]] = field(default_factory=dict)
    """What the vision tower takes for each image that is shown."""
    has_videos: bool = False
    """Whether prompts have videos: then pixels are normalised already."""

    def converted(self, change: Callable[[Any], Any]) -> "Prepared":
        """Return the same with every input changed by a function."""
        return replace(
            self,
            inputs={name: change(value) for name, value in self.inputs.items()},
            vision={
                key: {name: change(value) for name, value in inputs.items()}
                for key, inputs in self.vision.items()
            },
        )

    def pin_memory(self) -> "Prepared":
        """Return the same in page-locked memory, which a GPU copies without waiting."""
        return self.converted(lambda v: v.pin_memory() if hasattr(v, "pin_memory") else v)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that cannot be run."""

    request: int
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """A job as a worker process gives it back."""

    job: int
    parts: Sequence[Prepared | Refused]
    thumbnails: Mapping[int, bytes]
    """Number of a request -> a small JPEG of its first image."""
    unshared: str = ""
    """Why images that requests share were prepared for each, where that was so."""

    def pin_memory(self) -> "Done":
        """Return the same with inputs in page-locked memory; the loader calls this."""
        return replace(
            self, parts=[p.pin_memory() if isinstance(p, Prepared) else p for p in self.parts]
        )
