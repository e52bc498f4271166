"""Prepared batches through the model, in smaller pieces where the memory does not hold them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate.utils.memory import clear_device_cache

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.line.in_context import NO_CONTEXT, Demonstrations, alike
from savs.pipeline.extraction.line.jobs import Done, Job, Prepared, Refused
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.shared_forward import SharedForward
from savs.pipeline.extraction.model.answers import ICL, AnswerQuery, Answers
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.reading import Launched, RefusedPromptError
from savs.pipeline.prompts.input_names import MASK

RECOVERY = 64
"""Batches that must fit in a row before larger ones are tried again."""
Started = tuple[tuple[int, ...], Launched]
"""Numbers of requests, and the pass that was started for them."""


@dataclass
class Forward:
    """Runs prepared batches, and remembers how much fits the memory."""

    model: LoadedModel
    settings: PassSettings
    answers: Answers
    scale: PixelScale | None
    shared: SharedForward
    """Runs batches whose prompts share images."""
    prepare: Callable[[Job], Done]
    """Prepares a job in this process, for batches that cannot be cut."""
    drain: Callable[[], None] = lambda: None
    """Takes what earlier passes hold on the device, before a batch that did not fit is cut."""
    contexts: Sequence[Demonstrations] = ()
    """The demonstrations of each subtask, after which prompts are asked, too."""
    cuts: int = 0
    """Batches that did not fit whole."""
    unshared: str = ""
    """Why prompts that share images ran without sharing, once one had to: the rest does, too."""
    _most: float = float("inf")
    """Tokens that a batch may have for now."""
    _fitted: int = 0
    """Passes that fitted since `_most` was changed."""
    _has_fitted: bool = False
    """Whether anything ever did."""
    _alone: int = 0
    """Prompts that did not fit by themselves."""

    def run(self, batch: Prepared, job: Job) -> Iterator[Started | Refused]:
        """Start a batch, or pieces of it; `job` is what it was prepared from.

        A prompt that does not fit by itself is refused. ModelError if nothing fits, from the first
        prompt on.
        """
        if not batch.image_keys:
            self.shared.forget_prefix()
            yield from self._run(batch, job)
        elif self.unshared:
            yield from self._again(replace(job, shared=False), [batch.requests])
        else:
            if job.is_first:
                self.shared.forget_prefix()
            for piece in self.shared.pieces(batch):
                yield from self._run(piece, job)

    def _run(self, batch: Prepared, job: Job) -> Iterator[Started | Refused]:
        is_single = len(batch.requests) == 1
        if not is_single and self.model.count_tokens(batch.inputs) > self._most:
            yield from self._run_halves(batch, job)  # as much did not fit lately
            return
        outcome = self._try(batch, job)
        if is_single and isinstance(outcome, Exception) and is_out_of_memory(outcome):
            outcome = self._try(batch, job)  # another process may have freed memory
        if isinstance(outcome, Launched):
            yield batch.requests, outcome
        elif isinstance(outcome, RefusedPromptError):
            if is_single:
                yield Refused(batch.requests[0], str(outcome))
            else:
                yield from self._run_halves(batch, job)
        elif not is_out_of_memory(outcome):
            self.unshared = f"{type(outcome).__name__}: {outcome}"
            self.shared.forget()
            yield from self._again(replace(job, shared=False), [batch.requests])
        elif is_single:
            yield self._refuse(batch.requests[0], outcome)
        else:
            yield from self._run_halves(batch, job)

    def _try(self, batch: Prepared, job: Job) -> Launched | Exception:
        """Start a batch, or return why not: it is too large, refused, or sharing fails."""
        labels = {request.number: request.labels for request in job.requests}
        query = self.answers.query(
            [labels.get(number, ()) for number in batch.requests],
            generates=any(request.generates for request in job.requests),  # all belong to one split
        )
        try:
            if batch.image_keys:
                launched = self.shared.launch(batch, query)
            else:
                inputs = {**batch.inputs, **batch.host_inputs}
                launched = self.model.launch(inputs, query, self.scale if batch.is_plain else None)
            launched = self._in_context(batch, job, query, launched)
        except Exception as raised:
            is_refusal = isinstance(raised, RefusedPromptError)
            if not batch.image_keys and not is_refusal and not is_out_of_memory(raised):
                raise
            error = raised.with_traceback(None)  # its frames hold the activations
        else:
            self._has_fitted = True
            self._fitted += 1
            if self._fitted == RECOVERY:
                self._most, self._fitted = 2 * self._most, 0
            return launched
        if is_out_of_memory(error):
            self._shrink(batch)
        return error

    def _run_halves(self, batch: Prepared, job: Job) -> Iterator[Started | Refused]:
        half = len(batch.requests) // 2
        try:
            parts = [batch.take(range(half)), batch.take(range(half, len(batch.requests)))]
        except ValueError:
            yield from self._again(job, [batch.requests[:half], batch.requests[half:]])
        else:
            for part in parts:
                yield from self._run(part, job)

    def _in_context(
        self, batch: Prepared, job: Job, query: AnswerQuery, launched: Launched
    ) -> Launched:
        """Add the answers after demonstrations, where prompts are asked after any."""
        context_of = {request.number: request.context for request in job.requests}
        contexts = [context_of.get(number, NO_CONTEXT) for number in batch.requests]
        if {*contexts} == {NO_CONTEXT}:
            return launched
        lengths = batch.inputs[MASK].sum(dim=1).tolist()
        likelihoods = torch.full((len(lengths), len(self.answers.tokens)), torch.nan)
        longest = max(demonstrations.tokens for demonstrations in self.contexts) + max(lengths)
        for rows in alike(lengths, contexts, max(1, self.answers.cells // longest)):
            piece = self._piece(batch, job, rows)
            if piece.image_keys:
                inputs = self.shared.whole_arguments(piece)
            else:
                inputs = self.model.placed(piece.inputs, self.scale if piece.is_plain else None)
            demonstrations = self.contexts[contexts[rows.start]]
            likelihoods[rows] = demonstrations.answer(
                inputs, self.answers.query(query.labels[rows])
            ).cpu()
        return replace(launched, outputs={**launched.outputs, ICL: likelihoods})

    def _piece(self, batch: Prepared, job: Job, rows: slice) -> Prepared:
        """Return some prompts of a batch, prepared once more if it cannot be cut."""
        if rows == slice(0, len(batch.requests)):
            return batch
        try:
            return batch.take(range(rows.start, rows.stop))
        except ValueError:
            numbers = batch.requests[rows]
            requests = tuple(r for r in job.requests if r.number in numbers)
            (piece,) = self.prepare(replace(job, requests=requests)).parts
            if not isinstance(piece, Prepared) or piece.requests != numbers:
                raise
            return piece

    def _again(self, job: Job, parts: Sequence[Sequence[int]]) -> Iterator[Started | Refused]:
        """Prepare some of a job's requests once more, and run them."""
        for part in parts:
            requests = tuple(r for r in job.requests if r.number in part)
            for piece in self.prepare(replace(job, requests=requests)).parts:
                yield from self._run(piece, job) if isinstance(piece, Prepared) else [piece]

    def _shrink(self, batch: Prepared) -> None:
        self.drain()
        self.shared.forget()
        clear_device_cache()
        if len(batch.requests) > 1:
            self.cuts += 1
            self._most, self._fitted = self.model.count_tokens(batch.inputs) / 2, 0

    def _refuse(self, request: int, error: BaseException) -> Refused:
        self._alone += 1
        reason = (
            f"by itself it does not fit the memory of {self.model.device} ({error}); lower"
            " `max_pixels`, or use a larger GPU"
        )
        if not self._has_fitted and self._alone > 2:
            raise ModelError(f"the model has no room for a single prompt: {reason}") from error
        return Refused(request, reason)
