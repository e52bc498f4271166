"""The page: three tabs made with Gradio, whose parts are frames of the pages that stages make."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr
from gradio.themes import Default
from markupsafe import escape

from savs.datasets.example import LATER_MARK
from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.app.answers import Answers, answer, answers_page, attention_page
from savs.pipeline.app.frames import HERE
from savs.pipeline.app.labelling import (
    BATCHES,
    DOUBTFUL,
    UNSURE,
    Labelling,
    Session,
    fits_page,
    label_page,
)
from savs.pipeline.app.results import evaluate_now, results_page, why_page
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.extraction.model.model_options import require_extra
from savs.stores import head_name

SYSTEM = ("ui-sans-serif", "system-ui", "sans-serif")
MONO = ("ui-monospace", "monospace")
KINDS = [("One by one", UNSURE), ("Many at once", BATCHES), ("Doubtful labels", DOUBTFUL)]
RISK = 0.1
"""Risk of the prediction sets at first."""


def theme() -> Default:
    """Return a theme with the fonts of the system: none is fetched."""
    return Default(font=SYSTEM, font_mono=MONO)


def build_page(workspace: Workspace) -> gr.Blocks:
    """Return the page of a workspace."""
    with gr.Blocks(
        analytics_enabled=False, title=f"savs: {workspace.name}", delete_cache=(3600, 3600)
    ) as page:
        gr.Markdown(f"# {escape(workspace.name)}", sanitize_html=True)
        with gr.Tab("Classify"):
            _classify_tab(page, workspace)
        with gr.Tab("Label") as tab:
            _label_tab(page, tab, workspace)
        with gr.Tab("Results") as tab:
            _results_tab(tab, workspace)
    return page


def frame(*names: str) -> gr.HTML:
    """Return the frame that shows a whole page; a click on its buttons is the event `select`."""
    script = (HERE / "page.js").read_text("utf-8")
    return gr.HTML(js_on_load=script, elem_classes=["savs-frame", *names])


def framed(title: str, page: str) -> str:
    """Return the frame of a page. It has no origin, so it can reach nothing of the one around it.

    It runs no script but `frame.js`, and loads nothing, as its policy says.
    """
    parts = f'title="{escape(title)}" sandbox="allow-scripts" srcdoc="{escape(page)}"'
    return f"<iframe {parts}></iframe>"


def notice(workspace: Workspace, error: SavsError | OSError) -> str:
    """Return one sentence about what went wrong."""
    if isinstance(error, SavsError):
        text = workspace.spelled(str(error))
    else:
        text = f"{error.filename or 'a file'}: {error.strerror or error}"
    return f'<p class="savs-notice" role="alert">{escape(text)}</p>'


def note(text: str) -> str:
    """Return one sentence about what happens."""
    return f'<p class="savs-note" role="status">{escape(text)}</p>'


def framed_or_notice(workspace: Workspace, title: str, page: Callable[[], str]) -> str:
    """Return the frame of what makes a page, or the notice of its error."""
    try:
        return framed(title, page())
    except (SavsError, OSError) as error:
        return notice(workspace, error)


def _questions(workspace: Workspace) -> list[tuple[str, str | None]]:
    """Return how each part of the classifier is called, with its subtask."""
    return [
        (
            ": ".join(part for part in (task.subtask, task.question) if part is not None)
            or "a question that you type",
            task.subtask,
        )
        for task in workspace.selection().run_tasks
    ]


def _classify_tab(page: gr.Blocks, workspace: Workspace) -> None:
    status = gr.HTML()
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            part = gr.Dropdown([], label="Question", visible=False, filterable=False)
            question = gr.Textbox(label="Question", visible=False)
            drop = gr.File(
                file_count="multiple",
                label="Drop images, a video or sounds, choose files, or paste",
                elem_id="savs-drop",
                height=160,
            )
            risk = gr.Slider(0.01, 0.5, RISK, step=0.01, label="Accepted error rate")
        with gr.Column(scale=2, min_width=300):
            answered = frame()
            with gr.Row(visible=False) as look:
                image = gr.Dropdown([], label="File", filterable=False, min_width=140)
                head = gr.Dropdown([], label="Head", filterable=False, min_width=140)
                where = gr.Button("Show where it looks", min_width=140)
            map_ = frame()
    answers = gr.State(None)

    def opened() -> tuple[Any, ...]:
        """Show the questions of the classifier that is there now."""
        try:
            require_extra()
            choices = _questions(workspace)
            task = workspace.task(choices[0][1])
        except SavsError as error:
            return notice(workspace, error), *[gr.update(visible=False)] * 2, gr.update()
        question = task.question if len(choices) == 1 else None
        return (
            note(f"Question: {LATER_MARK.sub('', question)}" if question else ""),
            gr.update(choices=choices, value=choices[0][1], visible=len(choices) > 1),
            gr.update(visible=task.question is None),
            gr.update(visible=not workspace.selection().target.refusal("a risk", "")),
        )

    def dropped(
        files: list[str] | None, subtask: str | None, prompt: str, risk: float
    ) -> tuple[Any, ...]:
        """Classify the files; the model is loaded with the first."""
        nothing = (gr.update(visible=False), gr.update(), gr.update(), "")
        if not files:
            return None, "", *nothing
        try:
            answers = answer(workspace, files, subtask, prompt or "")
        except (SavsError, OSError) as error:
            return None, notice(workspace, error), *nothing
        images = [(one.name, place) for place, one in enumerate(answers.answers) if one.evidence]
        heads = [head_name(one) for one in answers.heads]
        return (
            answers,
            at_risk(answers, risk),
            gr.update(visible=bool(images and heads)),
            gr.update(choices=images, value=images[0][1] if images else None),
            gr.update(choices=heads, value=next(iter(heads), None)),
            "",
        )

    def at_risk(answers: Answers | None, risk: float) -> str:
        if answers is None:
            return ""
        return framed_or_notice(workspace, "answers", lambda: answers_page(answers, risk))

    def looked(answers: Answers | None, image: int | None, head: str | None) -> str:
        if answers is None or image is None or head is None:
            return notice(workspace, ParameterError("drop a file first"))
        page = partial(attention_page, answers, image, head)
        return framed_or_notice(workspace, "where a head looks", page)

    def question_box(subtask: str | None) -> Any:
        return gr.update(visible=workspace.task(subtask).question is None)

    inputs, outputs = [drop, part, question, risk], [answers, answered, look, image, head, map_]
    model: dict[str, Any] = {
        "concurrency_limit": 1,
        "concurrency_id": "model",
        "api_visibility": "private",
    }
    page.load(opened, outputs=[status, part, question, risk], api_visibility="private")
    drop.upload(dropped, inputs, outputs, **model)
    drop.clear(dropped, inputs, outputs, **model)
    part.input(question_box, part, question, api_visibility="private")
    part.input(dropped, inputs, outputs, **model)
    question.submit(dropped, inputs, outputs, **model)
    risk.release(
        at_risk,
        [answers, risk],
        answered,
        show_progress="hidden",
        api_visibility="private",
    )
    where.click(looked, [answers, image, head], map_, **model)


def _results_tab(tab: gr.Tab, workspace: Workspace) -> None:
    again = gr.Button("Evaluate", size="sm")
    problem = gr.HTML(padding=False)
    evaluated = frame()
    why = frame("savs-why")

    def shown(page: Callable[[Workspace], str]) -> tuple[str, Any]:
        """Return the frame of a page; with the notice of an error, what is shown stays."""
        try:
            return "", framed("results", page(workspace))
        except (SavsError, OSError) as error:
            return notice(workspace, error), gr.skip()

    def explained(event: gr.EventData) -> str:
        return framed_or_notice(
            workspace, "why", lambda: why_page(workspace, str(event._data["id"]))
        )

    outputs = [problem, evaluated]
    tab.select(lambda: shown(results_page), outputs=outputs, api_visibility="private")
    again.click(lambda: shown(evaluate_now), outputs=outputs, api_visibility="private")
    evaluated.select(explained, outputs=why, api_visibility="private")


def _label_tab(page: gr.Blocks, tab: gr.Tab, workspace: Workspace) -> None:
    labelling = Labelling(workspace)
    session = gr.State(None)
    drawn = gr.State(-1)
    with gr.Row():
        part = gr.Dropdown([], label="Subtask", visible=False, filterable=False)
        kind = gr.Radio(KINDS, value=UNSURE, show_label=False, container=False, scale=3)
        fit = gr.Button("Retrain", min_width=100, size="sm", scale=1)
    example = frame()
    status = frame()

    def acted(act: Callable[[Session], str], browser: Session, kind: str, part: str | None) -> str:
        """Return the frame of the next image after an act, with the message of the act."""

        def next_page() -> str:
            try:
                message = act(browser)
            except SavsError as error:
                message = str(error)
            return label_page(labelling, browser, kind, part, message)

        return framed_or_notice(workspace, "the example to label", next_page)

    def opened(
        browser: Session | None, kind: str, part: str | None, request: gr.Request
    ) -> tuple[Any, ...]:
        browser = browser or Session(str(request.session_hash))
        parts: list[str] = []
        with suppress(SavsError):  # the page of the next image says it
            parts = labelling.parts()
        part = part if part in parts else next(iter(parts), None)
        page = acted(lambda browser: "", browser, kind, part)
        with suppress(SavsError):
            labelling.begin()
        kinds = KINDS
        with suppress(SavsError):  # marks and numbers are given one by one
            kinds = KINDS if labelling.target().given_as == "class" else [KINDS[0], KINDS[-1]]
        parts_box = gr.update(choices=parts, value=part, visible=bool(parts))
        return browser, page, parts_box, gr.update(choices=kinds)

    def chosen(
        browser: Session, kind: str, part: str | None, event: gr.EventData
    ) -> tuple[Any, ...]:
        data = event._data
        ids = [str(name) for name in data.get("ids", ())]
        acts: dict[str, Callable[[Session], str]] = {
            "label": lambda browser: labelling.give(browser, ids, data["label"]),
            "class": lambda browser: labelling.give_new(browser, ids, str(data["label"]), part),
            "skip": lambda browser: labelling.skip(browser, ids),
            "undo": labelling.undo,
        }
        return browser, acted(acts[data["act"]], browser, kind, part)

    def ticked(version: int) -> tuple[Any, Any]:
        if version == labelling.fits.version:
            return gr.skip(), gr.skip()
        version = labelling.fits.version
        return framed(f"{workspace.metric()} to expect", fits_page(labelling)), version

    def chosen_now(version: int) -> tuple[Any, Any]:
        labelling.fit()
        return ticked(version)

    inputs = [session, kind, part]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    for event in (tab.select, kind.input, part.input):
        event(opened, inputs, [session, example, part, kind], **quiet)
    example.select(chosen, inputs, [session, example], concurrency_limit=None, **quiet)
    fit.click(chosen_now, drawn, [status, drawn], **quiet)
    gr.Timer(1).tick(ticked, drawn, [status, drawn], concurrency_limit=None, **quiet)

    def closed(request: gr.Request) -> None:
        labelling.forget(str(request.session_hash))

    page.unload(closed)
