"""A preview as one self-contained HTML page, without network access or scripts."""

import base64
from html import escape
from pathlib import Path

from savs.pipeline.previewing.content import (
    IMAGE,
    TOKEN,
    Picture,
    Piece,
    PreviewContent,
    Shown,
    SplitContent,
    Worded,
)

MOST_LABELS = 60
"""Most rows of the table of labels."""
MOST_CHARACTERS = 6000
"""Longest text that is shown completely."""
LEAST_PX = 120
"""Smallest width of a caption."""
MOST_ABSENT = 10
"""Most examples with missing media that are listed."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security policy: a browser loads only the images and styles inside the page."""
NEWLINE = '<span class="nl" aria-hidden="true">↵</span>\n'


def render(content: PreviewContent) -> str:
    """Return the page; all text from input files is escaped."""
    title = f"savs preview: {content.benchmark}"
    style = Path(__file__).with_name("style.css").read_text("utf-8")
    links = " ".join(
        f'<a href="#{split.name}">{split.name}: {split.examples:,} examples</a>'
        for split in content.splits
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<header>\n"
        f"<h1>{escape(content.benchmark)}</h1>\n<p>{escape(content.summary)}</p>\n"
        f'<p class="soft">{escape(_model(content))}</p>\n<nav aria-label="Splits">{links}</nav>\n'
        f"{_notes(content)}</header>\n<main>\n"
        + "".join(map(_split, content.splits))
        + "</main>\n</body>\n</html>\n"
    )


def _model(content: PreviewContent) -> str:
    marks = {"keep": "all images first, placeholders kept in the text"}.get(content.placeholders)
    model = f"prompts as {content.model} reads them" if content.model else "prompts and labels"
    return f"{model}; {marks}" if marks else model


def _notes(content: PreviewContent) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in content.notes)
    return f'<div class="notes" role="note"><ul>{items}</ul></div>\n' if items else ""


def _split(split: SplitContent) -> str:
    shown = f"the first {len(split.shown):,} are shown" if len(split.shown) < split.examples else ""
    facts = "; ".join(filter(None, (split.source, shown)))
    cards = "\n".join(f"<li>{_card(example)}</li>" for example in split.shown)
    return (
        f'<section aria-labelledby="{split.name}">\n'
        f'<h2 id="{split.name}">{split.name}: {split.examples:,} examples</h2>\n'
        f'<p class="soft">{escape(facts)}</p>\n{_absent(split)}{_labels(split)}'
        f'<ol class="cards">\n{cards}\n</ol>\n</section>\n'
    )


def _absent(split: SplitContent) -> str:
    if not split.absent:
        return ""
    named = [
        f"<li>{escape(identifier)}: {escape(name)}</li>"
        for identifier, name in list(split.absent.items())[:MOST_ABSENT]
    ]
    more = len(split.absent) - len(named)
    named += [f"<li>and {more:,} more</li>"] if more else []
    return (
        f'<div class="notes" role="note"><p>{len(split.absent):,} of {split.examples:,}'
        f" examples would be skipped: an image or video is missing</p><ul>{''.join(named)}</ul>"
        "</div>\n"
    )


def _labels(split: SplitContent) -> str:
    most = max(split.labels.values(), default=1)
    subtasks = any(subtask is not None for subtask, _ in split.labels)
    rows = []
    for (subtask, label), count in list(split.labels.items())[:MOST_LABELS]:
        task = f"<td>{_text(subtask or '-')}</td>" if subtasks else ""
        name = "<i>hidden</i>" if label is None else _text(label)
        bar = f'<span class="bar" style="width:{100 * count / most:.1f}%"></span>'
        rows.append(
            f'<tr>{task}<th scope="row">{name}</th><td class="count">{count:,}</td>'
            f"<td>{bar}</td></tr>"
        )
    more = len(split.labels) - len(rows)
    note = f" (the first {len(rows)} of {len(split.labels):,})" if more else ""
    head = '<th scope="col">subtask</th>' if subtasks else ""
    return (
        f"<table>\n<caption>Labels{note}</caption>\n<thead><tr>{head}"
        '<th scope="col">label</th><th scope="col" class="count">examples</th>'
        '<th scope="col"><span class="soft">share</span></th></tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody>\n</table>\n"
    )


def _card(shown: Shown) -> str:
    example = shown.example
    facts = {"group": example.group, "subtask": example.subtask, "category": example.category}
    items = "".join(
        f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>"
        for name, value in facts.items()
        if value is not None
    )
    label = "<i>hidden</i>" if example.label is None else _text(example.label)
    reason = f'<p class="reason">skipped: {escape(shown.skipped)}</p>' if shown.skipped else ""
    return (
        f'<article class="{"skipped" if shown.skipped else "usable"}">'
        f'<div class="top"><h3>{escape(example.id)}</h3>'
        f'<span class="label"><span class="soft">label </span>{label}</span></div>'
        + (f"<dl>{items}</dl>" if items else "")
        + f'<div class="prompt">{"".join(map(_piece, shown.pieces))}</div>'
        + reason
        + (_worded(shown.worded) if shown.worded else "")
        + "</article>"
    )


def _piece(piece: Piece) -> str:
    return _figure(piece) if isinstance(piece, Picture) else _text(piece)


def _figure(picture: Picture) -> str:
    name = escape(picture.name)
    if not picture.jpeg:
        return f'<span class="gone" role="img" aria-label="no image: {name}">{name}</span>'
    data = base64.b64encode(picture.jpeg).decode("ascii")
    frame = f", {picture.frame}" if picture.frame else ""
    size = f"{picture.width} &times; {picture.height} px"
    return (
        f'<figure style="width:{max(picture.shown_width, LEAST_PX)}px">'
        f'<img src="data:image/jpeg;base64,{data}" alt="{name}{frame}">'
        f"<figcaption>{name}{frame}, {size}</figcaption></figure>"
    )


def _text(text: str) -> str:
    more = len(text) - MOST_CHARACTERS
    shown = escape(text[:MOST_CHARACTERS]).replace("\n", NEWLINE)
    return shown + (f'<i class="soft"> ... and {more:,} more characters</i>' if more > 0 else "")


def _worded(worded: Worded) -> str:
    runs = []
    for run in worded.runs:
        if run.kind == IMAGE:
            runs.append(f'<span class="image">{escape(run.text)} &times; {run.count:,}</span>')
        elif run.kind == TOKEN:
            runs.append(f'<span class="token">{_text(run.text)}</span>')
        else:
            runs.append(_text(run.text))
    note = (
        '<p class="soft">The chat template alone would move the images of this prompt. Here they'
        " stand at their marks.</p>"
    )
    return (
        f"<details open><summary>as the model reads it: {worded.tokens:,} tokens,"
        f" {worded.image_tokens:,} of them of images</summary>{note if worded.is_joined else ''}"
        f"<pre>{''.join(runs)}</pre></details>"
    )
