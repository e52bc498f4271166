"""A page that classifies images: `python app.py`, or a Space of the Hugging Face Hub."""
# Variables: MODEL (a folder, OWNER/NAME or OWNER/NAME@COMMIT) and RISK (0.1: one error in ten).

import os
import shutil
import sys
import tempfile
from fractions import Fraction
from html import escape
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

spaces = import_module("spaces") if find_spec("spaces") else None  # ZeroGPU: before torch

import gradio as gr
from guard import PageGuard
from PIL import UnidentifiedImageError
from predict import (
    CONFIG,
    FITTED,
    HAS_MANY,
    MODEL,
    QUESTION,
    TASK,
    Image,
    chances,
    find_labels,
    find_number,
    load,
    open_image,
    score,
)
from torch import stack
from torch.nn.functional import normalize

MOST_PIXELS = 2**25
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow refuses more than twice as many
MOST_BYTES, MOST_CLASSES = "20mb", 20  # of an upload; that are shown
UNREAD = "The image cannot be read"
CALIBRATION = TASK["decision"]  # None: not calibrated
IS_NUMBER = "spread" in (CALIBRATION or {})
NONCONFORMITY = FITTED.get("0.decision.nonconformity", ())  # 1 - p(right class), ascending
CENTROIDS = FITTED.get("0.decision.centroids", FITTED["0.directions"])  # or of class means


def find_model():  # name and commit
    model, folder = os.environ.get("MODEL"), Path(__file__).with_name("model")
    if model:
        if Path(model).is_dir():
            return model, None
        name, _, commit = model.partition("@")
        if name.count("/") != 1:
            sys.exit(f"MODEL is {model!r}, expected a folder, OWNER/NAME or OWNER/NAME@COMMIT")
        return name, commit or None
    if MODEL["revision"]:
        return MODEL["name"], MODEL["revision"]
    if folder.is_dir():
        return str(folder), None
    sys.exit(
        f"the classifier was made with the local model {MODEL['name']!r}; put its files into"
        f" {folder}, or set the variable MODEL to its folder, OWNER/NAME or OWNER/NAME@COMMIT"
    )


def find_risk():  # the share of errors, and the greatest 1 - p of a class that is not ruled out
    text = os.environ.get("RISK", "0.1")
    try:
        risk = Fraction(text)
    except (ValueError, ZeroDivisionError):
        risk = Fraction(0)
    if not 0 < risk < 1:
        sys.exit(f"RISK is {text!r}, expected a number between 0 and 1, such as 0.1")
    count = len(NONCONFORMITY)
    place = ceil((count + 1) * (1 - risk))
    return risk, float(NONCONFORMITY[place - 1]) if 0 < place <= count else None


def describe(heads, likely):  # whether the answer is sure, and whether the image is like the others
    if CALIBRATION is None:
        return "The percentages are shares of the scores. They are not calibrated."
    order, rate = likely.argsort(descending=True), f"for an error rate of {float(100 * RISK):.4g} %"
    possible = [TASK["classes"][n] for n in order if LIMIT is None or 1 - likely[n] <= LIMIT]
    more = f" or {len(possible) - 5} more" if len(possible) > 5 else ""
    names = " or ".join(possible[:5]) + more if possible else "no class is likely enough"
    text = f"{'Sure' if len(possible) == 1 else 'Unsure'}: {names}, {rate}."
    if LIMIT is None:
        text += f" {len(NONCONFORMITY)} left-out training images are too few to rule out a class."
    pairs = zip(CENTROIDS, heads, strict=True)
    rows = [normalize(line, dim=1)[:, : len(x)] @ normalize(x, dim=0) for line, x in pairs]
    if stack(rows).mean(0).max() < CALIBRATION["typical"]:
        text += "\nAtypical: it is unlike the training images, and may show none of the classes."
    return text


def classify(path):
    """Return the classes of an image with their probabilities, and how sure the answer is."""
    if path is None:
        return {}, ""
    path, uploads = Path(path).resolve(), Path(upload.GRADIO_CACHE).resolve()
    # Gradio checks this of requests with a mark, which their sender may leave out.
    if not (path.is_relative_to(uploads) and path.is_file()):
        return {}, f"{UNREAD}: it is no upload."
    try:
        image = open_image(path)
    except UnidentifiedImageError:
        return {}, f"{UNREAD}: its format is unknown."
    except Image.DecompressionBombError:
        return {}, f"{UNREAD}: it has more than {MOST_PIXELS:,} pixels."
    except Exception as error:  # a decoder may raise anything on damaged bytes
        return {}, f"{UNREAD}: {error}."
    heads = run(image)
    if HAS_MANY:
        predicted, likely = find_labels(heads)
        order = sorted(likely, key=lambda name: -likely[name])[:MOST_CLASSES]
        answers = [{"label": name, "confidence": likely[name]} for name in order]
        text = "The percentages are for each label by itself."
        return {"label": ", ".join(predicted) or "no label", "confidences": answers}, text
    if IS_NUMBER:
        number, ends = find_number(heads)
        text = "How far off it may be is not known: too few training images were left out."
        if ends:
            text = (
                f"The truth lies from {ends[0]:.6g} to {ends[1]:.6g} in 95 % of images like these."
            )
        return {"label": f"{number:.6g}"}, text
    scores, choice, _ = score(heads)
    likely = chances(scores)
    order = sorted(range(len(likely)), key=lambda n: (n != choice, -likely[n]))
    answers = [
        {"label": TASK["classes"][n], "confidence": likely[n].item()} for n in order[:MOST_CLASSES]
    ]
    return {"label": answers[0]["label"], "confidences": answers}, describe(heads, likely)


RISK, LIMIT = find_risk()
run = load(*find_model())
on_hub, space_host = "SPACE_ID" in os.environ, os.environ.get("SPACE_HOST")
uploads = tempfile.mkdtemp(prefix="uploads-", dir=os.environ.get("GRADIO_TEMP_DIR"))
os.environ["GRADIO_TEMP_DIR"] = uploads  # not the folder that all pages of this machine share
guard = PageGuard(
    os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1",
    Path(uploads),
    public=lambda: f"https://{space_host}" if on_hub and space_host else page.share_url,
    on_hub=on_hub,
)
if spaces:
    run = spaces.GPU(run)
about = f"{CONFIG['readout']} of {len(TASK['heads'])} attention heads of {MODEL['name']}"
with gr.Blocks(title=QUESTION, analytics_enabled=False, delete_cache=(600, 3600)) as page:
    gr.Markdown("# Few-shot image classifier")
    with gr.Row():
        # Left to itself, Gradio opens files of any format, and its errors do not reach the page.
        sources: Any = ["upload", "clipboard"]
        upload = gr.Image(label="Image", type="filepath", image_mode=None, sources=sources)
        upload.preprocess = lambda payload: payload.path if payload else None
        with gr.Column():
            gr.Textbox(QUESTION, label="Question", interactive=False, max_lines=8)
            label = gr.Label(label="Answer")
            verdict = gr.Textbox(label="How sure", interactive=False, max_lines=8)
    gr.HTML(f"<p>{escape(about)}. Uploads are deleted after an hour.</p>")
    upload.change(
        fn=classify,
        inputs=upload,
        outputs=[label, verdict],
        api_name="classify",
        concurrency_limit=1,
        postprocess=False,
    )

if __name__ == "__main__":
    try:
        page.queue(max_size=20).launch(
            max_file_size=MOST_BYTES,
            run_history=False,
            footer_links=["api", "gradio"],
            ssr_mode=False,
            num_workers=0,  # a worker would have an address without the guard
            app_kwargs={"lifespan": guard.lifespan},
        )
    finally:
        shutil.rmtree(uploads, ignore_errors=True)
