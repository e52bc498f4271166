"""Classify images without savs: `python predict.py IMAGE ...` prints a line of JSON for each."""
# pip install torch torchvision "transformers>=5.24" safetensors pillow numpy

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch.nn.functional import normalize
from transformers import AutoModelForMultimodalLM, AutoProcessor

CONFIG = json.loads(Path(__file__).with_name("config.json").read_text("utf-8"))
FITTED = load_file(Path(__file__).with_name("classifier.safetensors"))
TASKS, MODEL = CONFIG["tasks"], CONFIG["source"]["model"]
TASK, HAS_MANY = TASKS[0], CONFIG["labels"] == "many"  # each of many labels is a task
HEADS = {head: n for n, head in enumerate(dict.fromkeys((*h,) for t in TASKS for h in t["heads"]))}
ANSWERS = (999_999, 0)  # the model's own answers, as if they were a head
QUESTION = TASK["question"].removeprefix("<image>")
KNOWN = TASK["decision"] or {}  # what left-out examples say
SURE = {"smoothing": 0, "temperature": 1} | KNOWN  # without: shares of the scores
FORM, MARK = MODEL.get("prompt_template"), MODEL.get("image_mark", "")  # of models without a chat
BLOCK = re.compile(r"(?:.*\.)?(\d+)\.(?:self_attn|self_attention|attn)\.(?:o_proj|out_proj|dense)")
Image.init()
FORMATS = [name for name in Image.OPEN if name != "EPS"]  # PostScript is a program
Image.MAX_IMAGE_PIXELS = 2**25  # of more than twice as many, small files need gigabytes


def images_in(path):  # of a folder, those that have the name of one
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    known = Image.registered_extensions()
    return [p for p in files if p == path or (p.suffix.lower() in known and p.is_file())]


def open_image(path):
    image = ImageOps.exif_transpose(Image.open(path, formats=FORMATS))
    if image.mode.startswith("I"):  # 16-bit greys
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def encode(processor, image):
    words = [{"type": "image"}, {"type": "text", "text": "word0word"}]
    rendered = processor.apply_chat_template([{"role": "user", "content": words}], tokenize=False)
    space = re.search(r"[>\]](\s*)word0word", rendered)  # what follows an image is there once
    question = QUESTION.removeprefix(space[1] if space else "")
    content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
    is_plain = any(str(t) in QUESTION for t in processor.tokenizer.added_tokens_decoder.values())
    form = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
    form |= {"return_tensors": "pt", "sanitize_control_tokens": is_plain}
    turns = [[{"role": "user", "content": content}]]
    try:
        return processor.apply_chat_template(turns, **form)
    except NotImplementedError:  # the tokenizer begins each text itself: the template shall do it
        form["chat_template"] = "{{ bos_token }}" + processor.chat_template
        return processor.apply_chat_template(turns, **form)


def score(heads, task=0):  # of each class; the number of the chosen one; scores without ties
    names, pool = ("directions", "offsets", "weights", "ties"), TASKS[task]["pool"]
    if (scale := FITTED.get(f"{task}.scale")) is not None:
        logits = scale * heads[HEADS[ANSWERS]] + FITTED[f"{task}.offsets"]
        return logits.softmax(0), logits.argmax(), logits
    lines, offsets, weights, ties = (FITTED[f"{task}.{name}"] for name in names)
    read = [head for h in TASKS[task]["heads"] if (head := (*h,)) != ANSWERS]
    lines, offsets, weights, ties = (a[: len(read)] for a in (lines, offsets, weights, ties))
    slack, steepness = ties.T[:, :, None]  # what may be rounding
    pairs = zip(lines, [heads[HEADS[head]] for head in read], strict=True)
    table = torch.stack([line[:, : len(x)] @ normalize(x, dim=0) for line, x in pairs]) + offsets
    if pool == "vote":
        votes = (table >= table.max(1, keepdim=True)[0] - slack).int().argmax(1)
        counts = votes.bincount(minlength=len(TASK["classes"])).float()
        best = next(vote for vote in votes if counts[vote] == counts.max())
        return counts, best, table.mean(0)
    if pool == "sum":
        logits = table.sum(0)
        return logits.softmax(0), (logits >= logits.max() - slack.sum()).int().argmax(), logits
    shares, weights = table.double().softmax(1), weights / weights.double().sum(0)
    scores = (weights * shares).sum(0)
    if (mix := FITTED.get(f"{task}.mix")) is not None:
        logits = mix[0] * (scores + 2**-20).log() + mix[1] * heads[HEADS[ANSWERS]]
        return logits.softmax(0), logits.argmax(), logits
    apart = (weights * shares * (slack + steepness * (1 - shares))).sum(0)[scores.argmax()]
    return scores, (scores >= scores.max() - apart).int().argmax(), scores


def chances(scores):  # how likely each class is
    return ((scores + SURE["smoothing"]).log() / SURE["temperature"]).softmax(0)


def find_labels(heads):  # of many: those that are predicted, and how likely each is
    likely, predicted = {}, []
    for number, task in enumerate(TASKS):
        rule = task["decision"] or {"slope": 1, "intercept": 0, "threshold": 0.5}
        absent, there = score(heads, number)[2].double()
        p = torch.sigmoid(rule["slope"] * (there - absent) + rule["intercept"]).item()
        likely[task["subtask"]] = p
        predicted += [task["subtask"]] if p >= rule["threshold"] < 1 else []  # 1: never predicted
    return predicted, likely


def find_number(heads):  # the number, or the level next to it, and where 95 % of the truths lie
    levels, reach = KNOWN["levels"], KNOWN["reach"] or 0
    value = KNOWN["mean"] + KNOWN["spread"] * score(heads)[2][0].double().item()
    number = min(levels or [value], key=lambda level: abs(level - value))
    inside = [level for level in levels if abs(level - value) <= reach] or [number]
    low, high = (min(inside), max(inside)) if levels else (value - reach, value + reach)
    return number, None if KNOWN["reach"] is None else [min(low, number), max(high, number)]


def said(model, inputs):  # log-likelihood of each class, as the model would write it
    given, sums = {key: value for key, value in inputs.items() if key != "labels"}, []
    by_token = [k for k, value in given.items() if value.shape == inputs["input_ids"].shape]
    for tokens in TASK["written"].values():
        answer, longer = torch.tensor([tokens], device=model.device), {}
        for key in by_token:
            more = answer[:, :-1] if key == "input_ids" else answer[:, :-1] * 0
            is_suffix = model.config.model_type == "paligemma" and key == "token_type_ids"
            more = more + (is_suffix or key == "attention_mask")
            longer[key] = torch.cat([given[key], more.to(given[key].dtype)], 1)
        logits = model(**{**given, **longer}, use_cache=False).logits[0, -len(tokens) :]
        sums.append(logits.float().log_softmax(-1).gather(1, answer.T).sum())
    return torch.stack(sums).cpu()


def load(name, commit=None):  # the function from an image to what its chosen heads put out
    if commit and (name.count("/") > 1 or name[:1] in "./~" or Path(name).exists()):
        sys.exit(f"the classifier names {name!r} as a model on the Hub, and it is a path")
    processor = AutoProcessor.from_pretrained(name, revision=commit)
    if FORM:
        before, after = FORM.split("{prompt}")
        before += "" if "{image}" in FORM else MARK
        parts = [json.dumps(part.replace("{image}", MARK)) for part in (before, after)]
        template = "{{ %s }}{{ messages[0]['content'][1]['text'] }}{{ %s }}"
        processor.chat_template = template % tuple(parts)
    for key, edge in (("min_pixels", "shortest_edge"), ("max_pixels", "longest_edge")):
        if limit := CONFIG["source"]["processor"].get(key):
            if key == "min_pixels" and limit > 2**22:
                sys.exit(f"{key} is {limit:,}, expected {2**22:,} at most")
            processor.image_processor.size[edge] = limit
    dtype, device = CONFIG["source"]["dtype"], "cuda" if torch.cuda.is_available() else "cpu"
    settings = {"revision": commit, "dtype": dtype, "use_kernels": False}  # no code of the Hub
    model = AutoModelForMultimodalLM.from_pretrained(name, **settings).to(device)
    widths, read = {grid["layer"]: grid["head_dim"] for grid in CONFIG["source"]["grid"]}, {}
    for name, block in model.eval().requires_grad_(False).get_decoder().named_modules():
        if layer := BLOCK.fullmatch(name):  # its input: all heads of a layer, side by side
            block.register_forward_pre_hook(
                lambda _, args, n=int(layer[1]): read.update({n: args[0][0, -1].float().cpu()})
            )

    def run(image):
        inputs = encode(processor, image).to(device, dtype=model.dtype)
        model(**inputs, use_cache=False)
        of_heads = {h: read[h[0]].split(widths[h[0]])[h[1]] for h in HEADS if h != ANSWERS}
        return [of_heads[head] if head in of_heads else said(model, inputs) for head in HEADS]

    return run


if __name__ == "__main__":
    parser, folder = argparse.ArgumentParser(description=__doc__), Path(__file__).with_name("model")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--model", help="the model's folder, in place of `model` here or the Hub's")
    args = parser.parse_args()
    model = args.model or (None if MODEL["revision"] else folder)
    if model and not Path(model).is_dir():
        hint = "; `demo` is a folder in the package savs" if MODEL["name"] == "demo" else ""
        parser.error(f"--model {model} is no folder; pass the folder of the model's files{hint}")
    run = load(model or MODEL["name"], None if model else MODEL["revision"])
    escapes = (sys.stdout.encoding or "utf-8").lower() != "utf-8"
    paths, failed = [path for name in args.images for path in images_in(Path(name))], False
    for path in paths:
        try:
            image = open_image(path)
        except Exception as error:  # a decoder may raise anything on damaged bytes
            print(f"{path} cannot be read: {error}", file=sys.stderr)
            failed = True
            continue
        answer: dict = {"id": str(path)}
        if HAS_MANY:
            answer["labels"], answer["probabilities"] = find_labels(run(image))
        elif "spread" in KNOWN:
            answer["prediction"], answer["interval"] = find_number(run(image))
        else:
            scores, choice, _ = score(run(image))
            answer["prediction"] = TASK["classes"][choice]
            answer["probability"] = chances(scores)[choice].item()
            answer["votes"] = dict(zip(TASK["classes"], scores.tolist(), strict=True))
        print(json.dumps(answer, ensure_ascii=escapes))
    if failed or not paths:
        sys.exit(1 if paths else "no image was found")
