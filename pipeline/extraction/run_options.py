"""How an extraction runs: batches, workers, shards, and what is kept in addition to the heads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.effects import Effect
from savs.pipeline.extraction.model.sites import LAST, Site, parse_sites
from savs.pipeline.inputs.class_names import LABELS
from savs.pipeline.names import DEFAULT_BATCH_SIZE as DEFAULT_BATCH_SIZE
from savs.pipeline.running.option_texts import (
    parse_answers,
    parse_classes,
    write_answers,
    write_classes,
)
from savs.pipeline.running.options import Option, check_values

ANSWER_KINDS = ("labels", "generate")


class BatchKeywords(TypedDict, total=False):
    """The fields of `RunOptions` that say how examples run; `classify` also takes them."""

    batch_size: int | None
    batch_tokens: int | None
    batch_check: str | None
    reuse: str | None
    tower_attention: str | None
    workers: int | None


class GpuKeywords(TypedDict, total=False):
    """What a run of a large model on a GPU may need, of all options."""

    dtype: str
    batch_size: int | None
    max_pixels: int | None


class TrainRunKeywords(BatchKeywords, total=False):
    """The fields of `RunOptions` that the function `train` passes on to `extract`."""

    shard_rows: int | None
    answers: str | None
    icl_shots: int | None
    site: str | None
    slices: bool
    pooling: str
    retry_skipped: bool
    classes: str | Path | None
    templates: str | Path | None


class RunKeywords(TrainRunKeywords, total=False):
    """The fields of `RunOptions` as keyword arguments."""

    thumbnails: bool
    heads: str | Path | None
    append: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How an extraction runs; ParameterError if a value is out of its range."""

    batch_size: Annotated[
        int | None,
        Option(
            f"Largest number of examples per forward pass (default: {DEFAULT_BATCH_SIZE}).",
            "more",
            min=1,
        ),
    ] = None
    """In a store that is there, the default is what it was begun with: so for the next four."""
    batch_tokens: Annotated[int | None, Option(level="python", min=1)] = None
    """Largest number of tokens per forward pass (default: what fits the GPU). Padding included.
    What fits is measured; it is 4,096 on a CPU. What does not fit is run in pieces."""
    batch_check: Annotated[
        str | None, Option(level="python", choices=("strict", "warn", "off"))
    ] = None
    """Compare batches with single examples first (default: strict, then run singles). With
    `strict`, examples run one by one where batches change them; with `warn` that is only said; with
    `off` nothing is compared."""
    reuse: Annotated[
        str | None, Option(level="python", choices=("auto", "off")), Effect(is_for_vllm=False)
    ] = None
    """Compute images once for all prompts about them (default: auto, where tries agree)."""
    tower_attention: Annotated[
        str | None,
        Option(level="python", choices=("auto", "runs", "loop")),
        Effect(is_for_vllm=False),
    ] = None
    """Vision tower: images or windows of one size in one call (default: auto, on a GPU). `auto`
    tries it on a GPU, and on a CPU with Pixtral's tower. `runs` tries it anywhere, and stops where
    features would change; with `loop` the tower runs as transformers runs it. Where it is tried, so
    is giving the model what it would compute from the sizes of images."""
    workers: Annotated[
        int | None,
        Option(level="python", min=0),
        Effect(is_recorded=False, is_for_vllm=False),
    ] = None
    """Processes that decode and prepare (default: one per core with a GPU, else 0). 0 decodes in
    this process, which is also the default for a few hundred examples."""
    heads: Annotated[
        str | Path | None,
        Option("Store only the heads of this selection.", "more", metavar="DIR"),
    ] = None
    """The folder of a selection, see `savs select`."""
    site: Annotated[
        str | None,
        Option(
            "What to store: heads (default), residual, attention, mlp or norm; or several. In"
            " pieces as wide as a head: residual-slices; the image's mean: heads-image-mean.",
            "more",
            metavar="NAME[,NAME]",
        ),
    ] = None
    """Several make a store each, in folders of `out` that are called as they are, in one run of the
    model. Names of `Site.label` are taken, too, such as `residual-slices`."""
    slices: bool = False
    """Cut sites of hidden width into pieces as wide as a head. So that selection chooses among as
    many candidates as there are heads."""
    pooling: str = LAST
    """Read at the last token, or the mean over the image's tokens."""
    answers: Annotated[
        str | None,
        Option(
            "Store the model's own answers: likelihoods of the labels; a short text; likelihoods"
            " after N training examples per class; or several.",
            metavar="labels|generate|icl:N",
            parse=parse_answers,
            fills={"icl_shots": "icl:N"},
            write=write_answers,
        ),
        Effect(is_for_vllm=False),
    ] = None
    """`labels` keeps the log-likelihood of each training label (readout `zero-shot`), `generate` a
    short greedy text (readout `generated`)."""
    icl_shots: Annotated[int | None, Option(level="python", min=1)] = None
    """Show N training examples per class before each question (needs `answers` labels). In-context
    learning: the examples are chat turns before each test prompt, and the labels' likelihoods are
    kept (readout `icl`) in addition to those without."""
    classes: Annotated[
        str | Path | None,
        Option(
            "Store each class's name as the model reads it, for zero-shot by names. A file has"
            " names, or for dual encoders texts with {class}, one per line. Repeatable.",
            "more",
            metavar="labels|FILE",
            is_repeated=True,
            parse=parse_classes,
            fills={"templates": "FILE"},
            write=write_classes,
        ),
    ] = None
    """In a split `classes`. `labels` takes those of the training examples; a file of names makes
    training examples unnecessary. A dual encoder always does it."""
    templates: str | Path | None = None
    """File of texts with {class}, one a line, for dual encoders. `{class}` stands for the class's
    name. Images are compared with these texts next to the benchmark's own."""
    append: Annotated[bool, Option("Add new examples to the store that is there.")] = False
    """Those that it has already, by id and content, are left out."""
    retry_skipped: Annotated[
        bool, Option("Extract shards with skipped examples again."), Effect(is_recorded=False)
    ] = False
    shard_rows: Annotated[int | None, Option(level="python", min=1)] = None
    """Examples per file; a killed run loses at most one file (default: 16 to 256). The default is
    that of the store that is there, else enough for many processes to have shards."""
    thumbnails: Annotated[
        bool, Option("Store a small JPEG of the first image of each example.", "more")
    ] = False

    @property
    def names_classes(self) -> bool:
        """Whether a file names the classes, so that no training example has to."""
        return self.classes is not None and str(self.classes) != LABELS

    def __post_init__(self) -> None:
        check_values(self)
        if not set(self.answer_kinds) <= set(ANSWER_KINDS):
            raise ParameterError(
                f"`answers` is {self.answers!r}, expected {', '.join(ANSWER_KINDS)}, or both with a"
                " comma; for answers after demonstrations give `icl_shots`, too"
            )
        if self.icl_shots is not None and "labels" not in self.answer_kinds:
            raise ParameterError("`icl_shots` needs the labels' likelihoods; add `answers` labels")
        if len(self.sites) > 1 and self.heads is not None:
            raise ParameterError(
                "`heads` chooses heads of one site, and `site` names several; give one"
            )

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that were asked for; none where nothing was."""
        return parse_sites(self.site, slices=self.slices, pooling=self.pooling)

    @property
    def answer_kinds(self) -> tuple[str, ...]:
        """The kinds of answers that are kept, of `ANSWER_KINDS`."""
        return () if self.answers is None else tuple(self.answers.split(","))
