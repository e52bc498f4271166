"""What the text of an option means where it is more than a number or a name.

Each `parse_...` returns the value of an option, or of all fields that it fills, by name; its
ValueError says what was expected. A `write_...` is the inverse, for the options that a store
records; it returns None for values that no text says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from savs.foundation.bounds import whole_number
from savs.foundation.errors import reason_of
from savs.pipeline.running.options import Option

Fields = dict[str, Any]
MANY_LABELS = "many-labels"
CLASS_MARKS = ("{class}", "{c}")
MANIFEST, RESULTS = "store.json", "results"
"""File that a store has, and folder of its results."""


def parse_counts(text: str) -> list[int | Literal["all"]]:
    """Return the numbers of a list such as `1,5,all`; ValueError for anything else."""
    counts: list[int | Literal["all"]] = []
    for part in text.split(","):
        number = part if part == "all" else whole_number(part)
        if not number:
            raise ValueError("expected positive integers or all, such as 1,4,20,all")
        counts.append(cast("int | Literal['all']", number))
    return counts


def parse_layers(text: str) -> list[int] | Literal["each"]:
    """Return numbers of layers, or `each`; ValueError for anything else."""
    if text == "each":
        return "each"
    numbers = [whole_number(part) for part in text.split(",")]
    known = [layer for layer in numbers if layer is not None]
    if len(known) < len(numbers):
        raise ValueError("expected layers counted from 0, such as 7,13,20, or each")
    return known


def parse_names(text: str) -> list[str]:
    """Return the names in a list with commas; spaces around a comma do not count."""
    return [name.strip() for name in text.split(",")]


def parse_folds(text: str) -> int | Literal["loo"]:
    """Return a number of folds, or `loo`; ValueError for anything else."""
    if text == "loo":
        return "loo"
    number = whole_number(text)
    if number is None or number < 2:
        raise ValueError("expected an integer from 2 on, or loo")
    return number


def parse_task(text: str) -> Fields:
    """Return what says the kind of label; a text without letters separates many labels.

    >>> parse_task("many-labels:|"), parse_task("many-labels:cat,dog"), parse_task("ordinal")
    ({'label_separator': '|'}, {'label_columns': ('cat', 'dog')}, {'task': 'ordinal'})
    """
    kind, colon, rest = text.partition(":")
    if not colon:
        return {"task": kind}
    if kind == MANY_LABELS and rest:
        if any(map(str.isalnum, rest)):
            return {"label_columns": tuple(parse_names(rest))}
        return {"label_separator": rest}
    if kind == "positive":
        return {"positive": rest}
    raise ValueError(
        f"expected a kind of label alone, such as {MANY_LABELS} or ordinal; {MANY_LABELS}:| (the"
        f" text between labels), {MANY_LABELS}:A,B (a column for each label), or positive:CLASS"
    )


def write_task(values: Mapping[str, Any]) -> str | None:
    """Return the text of the fields of `parse_task`; None if a column's name has a comma."""
    if (columns := values.get("label_columns")) is not None:
        text = f"{MANY_LABELS}:{','.join(columns)}"
        return text if parse_task(text) == {"label_columns": tuple(columns)} else None
    if (separator := values.get("label_separator")) is not None:
        text = f"{MANY_LABELS}:{separator}"
        return text if "label_separator" in parse_task(text) else None
    if (positive := values.get("positive")) is not None:
        return f"positive:{positive}"
    return str(values["task"])


def parse_shots(text: str) -> Fields:
    """Return how many training examples are drawn per class, or how many groups.

    >>> parse_shots("20"), parse_shots("groups:10")
    ({'shots': 20}, {'train_groups': 10})
    """
    name, colon, number = text.rpartition(":")
    count = whole_number(number)
    if not count or (colon and name != "groups"):
        raise ValueError("expected a number from 1 on, such as 20 for each class, or groups:10")
    return {"train_groups" if colon else "shots": count}


def write_shots(values: Mapping[str, Any]) -> str:
    """Return the text of the fields of `parse_shots`."""
    groups = values.get("train_groups")
    return str(values["shots"]) if groups is None else f"groups:{groups}"


def parse_limit(text: str) -> Fields:
    """Return how many examples of a split are used, and how many seconds of a sound.

    >>> parse_limit("100"), parse_limit("100,30s")
    ({'limit': 100}, {'limit': 100, 'audio_max_seconds': 30})
    """
    fields: Fields = {}
    for part in parse_names(text):
        number = whole_number(part.removesuffix("s"))
        name = "audio_max_seconds" if part.endswith("s") else "limit"
        if not number or name in fields:
            raise ValueError("expected examples, such as 100, seconds of sounds, 30s, or 100,30s")
        fields[name] = number
    return fields


def write_limit(values: Mapping[str, Any]) -> str:
    """Return the text of the fields of `parse_limit`."""
    seconds = values.get("audio_max_seconds")
    parts = [values.get("limit"), None if seconds is None else f"{seconds}s"]
    return ",".join(str(part) for part in parts if part is not None)


def parse_video(text: str) -> Fields:
    """Return the form of videos and the number of their frames; either may be alone.

    >>> parse_video("frames:16"), parse_video("16"), parse_video("native")
    ({'video': 'frames', 'video_frames': 16}, {'video_frames': 16}, {'video': 'native'})
    """
    form, colon, number = text.partition(":")
    if not colon and (count := whole_number(text)) is not None:
        return {"video_frames": count}
    count = whole_number(number)
    if colon and not count:
        raise ValueError("expected native, with-sound or frames, a number of frames, or frames:16")
    return {"video": form} | ({"video_frames": count} if colon else {})


def write_video(values: Mapping[str, Any]) -> str:
    """Return the text of the fields of `parse_video`."""
    parts = (values.get("video"), values.get("video_frames"))
    return ":".join(str(part) for part in parts if part is not None)


def parse_seconds(text: str) -> float:
    """Return a duration in seconds, with or without its unit.

    >>> parse_seconds("4s"), parse_seconds("2.5")
    (4.0, 2.5)
    """
    try:
        return float(text.removesuffix("s"))
    except ValueError as error:
        raise ValueError("expected seconds, such as 4s or 2.5s") from error


def parse_answers(text: str) -> Fields:
    """Return the answers of the model that are kept, and the examples shown before a question.

    >>> parse_answers("generate,icl:4")
    {'answers': 'labels,generate', 'icl_shots': 4}
    """
    kinds, fields = [], dict[str, Any]()
    for part in parse_names(text):
        kind, colon, number = part.partition(":")
        if not colon:
            kinds.append(part)
        elif kind == "icl" and (count := whole_number(number)) and not fields:
            fields["icl_shots"] = count
        else:
            raise ValueError("expected labels, generate, icl:N, or several with commas")
    if fields and "labels" not in kinds:
        kinds.insert(0, "labels")
    return {"answers": ",".join(kinds)} | fields


def write_answers(values: Mapping[str, Any]) -> str:
    """Return the text of the fields of `parse_answers`."""
    shots = values.get("icl_shots")
    return str(values.get("answers", "labels")) + ("" if shots is None else f",icl:{shots}")


def parse_test(text: str) -> Fields:
    """Return the file of test examples, or the values of a column that are held out.

    >>> parse_test("test.jsonl"), parse_test("camera=3,camera=4")
    ({'test': 'test.jsonl'}, {'hold_out': ('camera=3', 'camera=4')})
    """
    if "=" not in text or "/" in text or Path(text).exists():
        return {"test": text}
    return {"hold_out": tuple(parse_names(text))}


def write_test(values: Mapping[str, Any]) -> str | None:
    """Return the text of the fields of `parse_test`."""
    held = values.get("hold_out")
    if held is None:
        return str(values["test"])
    text = ",".join(map(str, held))
    return None if "test" in values or parse_test(text).get("hold_out") != tuple(held) else text


def parse_question(texts: Sequence[str]) -> str | tuple[str, ...]:
    """Return one prompt, or several; a name that ends in .txt is a file with one a line."""
    prompts: list[str] = []
    for text in texts:
        prompts += read_lines(text) if text.endswith(".txt") else [text]
    return prompts[0] if len(prompts) == 1 else tuple(prompts)


def read_lines(file: str) -> list[str]:
    """Return the lines of a file that are not empty; ValueError if there is none."""
    lines = [line for line in map(str.strip, _content(file).splitlines()) if line]
    if not lines:
        raise ValueError(f"is {file!r}, an empty file, expected one per line")
    return lines


def parse_asked(texts: Sequence[str]) -> str | tuple[str, ...] | dict[str, list[str]]:
    """As `parse_question`, and a name that ends in .json is an object: question -> its classes."""
    import msgspec

    if len(texts) != 1 or not texts[0].endswith(".json"):
        return parse_question(texts)
    try:
        return msgspec.json.decode(_content(texts[0]), type=dict[str, list[str]])
    except msgspec.DecodeError as error:
        raise ValueError(
            f"is {texts[0]!r}, no JSON object of questions ({error}); expected a list of classes"
            ' for each, {"Is it sharp?": ["Yes", "No"]}'
        ) from error


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Return field -> column; ValueError for an unknown field or one that is there twice."""
    from savs.datasets.benchmarks.general import FIELDS

    columns: dict[str, str] = {}
    for text in texts:
        field, _, name = text.partition("=")
        known = f"FIELD is one of {', '.join(FIELDS)}"
        if not name or field not in FIELDS:
            raise ValueError(f"is {text!r}, expected FIELD=COLUMN; {known}")
        if field in columns:
            raise ValueError(f"has {field} twice, expected it once; {known}")
        columns[field] = name
    return columns


def parse_model(text: str) -> Fields:
    """Return a model and its revision on the Hub; the name of a folder may have an `@`.

    >>> parse_model("Qwen/Qwen2-VL-7B-Instruct@main")
    {'model': 'Qwen/Qwen2-VL-7B-Instruct', 'revision': 'main'}
    """
    name, mark, revision = text.partition("@")
    if not mark or Path(text).exists():
        return {"model": text}
    if not name or not revision:
        raise ValueError("expected ID, or ID@REVISION of the Hugging Face Hub")
    return {"model": name, "revision": revision}


def parse_classes(texts: Sequence[str]) -> Fields:
    """Return what names classes, and the file of templates, which has {class} in its lines."""
    fields: Fields = {}
    for text in texts:
        is_file = text != "labels"
        is_texts = is_file and any(mark in _content(text) for mark in CLASS_MARKS)
        name = "templates" if is_texts else "classes"
        if name in fields:
            raise ValueError(
                f"is {text!r} and {fields[name]!r}, expected one of both kinds at most"
            )
        fields[name] = text
    return fields


def write_classes(values: Mapping[str, Any]) -> list[str]:
    """Return the texts of the fields of `parse_classes`."""
    return [str(values[name]) for name in ("classes", "templates") if name in values]


TRANSFORMERS, VLLM = "transformers", "vllm"
"""Programs that run a model."""
ENGINE_KEYS = {
    "workers": ("workers", 0),
    "shard_rows": ("shard_rows", 1),
    "actors": ("actors", 1),
    "cpus": ("actor_cpus", 1),
    "gpus": ("actor_gpus", 0),
    "ranks": ("ranks", 1),
}
"""Key -> the field that it fills, and its smallest value."""
OF_ACTORS = ("actors", "cpus", "gpus")
AGAINST, COMPARE_WITH = "against", "compare_with"
OF_VLLM = ("ranks", AGAINST)


def parse_engine(text: str) -> Fields:
    """Return where processes run, and how many there are, of what size; or which program runs.

    >>> parse_engine("ray,actors=4,gpus=0.5")
    {'processes': 'ray', 'actors': 4, 'actor_gpus': 0.5}
    >>> parse_engine("vllm,ranks=2,against=pets")
    {'processes': 'local', 'engine': 'vllm', 'ranks': 2, 'compare_with': 'pets'}
    """
    name, *parts = parse_names(text)
    fields: Fields = {"processes": name}
    if name in (TRANSFORMERS, VLLM):
        fields = {"processes": "local", "engine": name}
    for part in parts:
        key, mark, value = part.partition("=")
        field, least = ENGINE_KEYS.get(key, (COMPARE_WITH, 0))
        if key not in (*ENGINE_KEYS, AGAINST) or not mark or field in fields:
            keys = ", ".join([*(f"{k}=N" for k in ENGINE_KEYS), f"{AGAINST}=STORE"])
            raise ValueError(f"expected NAME, then {keys}")
        if key in OF_ACTORS and not name.startswith("ray"):
            raise ValueError(f"where {key} is for actors of ray; leave it out")
        if key in OF_VLLM and name != VLLM:
            raise ValueError(f"where {key} is for {VLLM}; leave it out")
        fields[field] = value if key == AGAINST else _amount(key, value, least)
    return fields


def parse_program(text: str) -> Fields:
    """As `parse_engine`, where no processes can be chosen.

    >>> parse_program("vllm,against=pets")
    {'engine': 'vllm', 'compare_with': 'pets'}
    """
    fields = parse_engine(text)
    del fields["processes"]
    if "engine" not in fields or not {*fields} <= {"engine", "ranks", COMPARE_WITH}:
        keys = f"ranks=N, {AGAINST}=STORE"
        raise ValueError(f"expected {TRANSFORMERS}, or {VLLM}, then optionally {keys}")
    return fields


def _amount(key: str, text: str, least: int) -> int | float:
    if key == "gpus" and text.replace(".", "", 1).isdecimal() and text.isascii():
        return float(text)
    if (number := whole_number(text)) is None or number < least:
        raise ValueError(f"expected {key} to be a number from {least} on")
    return number


def parse_target(text: str) -> Fields:
    """Return what is learned: labels, whether own answers are right, or own answers as labels.

    >>> parse_target("own-answer"), parse_target("pseudo-labels:0.9")
    ({'target': 'own-answer'}, {'target': None, 'pseudo_labels': 0.9})
    """
    name, _, number = text.partition(":")
    if name != "pseudo-labels":
        return {"target": None if text == "labels" else text}
    try:
        return {"target": None, "pseudo_labels": float(number)}
    except ValueError:
        raise ValueError(
            "expected a probability after pseudo-labels, such as pseudo-labels:0.9"
        ) from None


def parse_result(text: str) -> Fields:
    """Return a store and the folder of a result in it; a store may lie in a folder `results`.

    >>> parse_result("pets"), parse_result("pets/results/vote/")
    ({'store': 'pets'}, {'store': 'pets', 'selection': 'pets/results/vote'})
    """
    folder = text.rstrip("/")
    store, mark, name = folder.rpartition(f"/{RESULTS}/")
    is_store = not mark or "/" in name or Path(folder, MANIFEST).exists()
    return {"store": text} if is_store else {"store": store, "selection": folder}


def parse_classifiers(text: str) -> str | dict[str, str | Path]:
    """Return a classifier, or name -> classifier of a list with commas.

    A name is before a `=`, else that of the folder; a folder that exists may have either sign.

    >>> parse_classifiers("pets"), parse_classifiers("runs/vote,fur=hf://owner/fur")
    ('pets', {'vote': PosixPath('runs/vote'), 'fur': 'hf://owner/fur'})
    """
    from savs.foundation.network import HUB

    if Path(text).exists() or "," not in text:
        return text
    classifiers: dict[str, str | Path] = {}
    for part in parse_names(text):
        name, mark, folder = part.partition("=")
        if not mark or Path(part).exists():
            name, folder = Path(part).absolute().name, part
        if name in classifiers:
            raise ValueError(f"where two are called {name!r}; expected NAME=CLASSIFIER of one")
        if not folder:
            raise ValueError("expected classifiers with a comma between them, or NAME=CLASSIFIER")
        classifiers[name] = folder if folder.startswith(HUB) else Path(folder)
    return classifiers


def parse_queried(text: str) -> Fields:
    """As `parse_result`, with the name of the result as `result`."""
    fields = parse_result(text)
    selection = fields.pop("selection", None)
    return fields if selection is None else {**fields, "result": Path(selection).name}


def parse_against(text: str) -> Fields:
    """As `parse_result`, where the store is called `against`."""
    fields = parse_result(text)
    return {"against": fields.pop("store"), **fields}


@dataclass(frozen=True, slots=True)
class Permission:
    """What a command refuses unless `--allow` names it."""

    about: str
    field: str | None = None
    """Field, or parameter, that is true then."""
    amount: str | None = None
    """Field of the number after the name."""
    unit: str = ""
    """After the number; without it, a number of `images` is one of pixels."""
    least: int = 1


PERMISSIONS = {
    "outside": Permission("media outside the media root", "allow_outside"),
    "urls": Permission("download media", "fetch_urls", "fetch_gb", "GB"),
    "private-addresses": Permission(
        "download from private networks and this machine", "allow_private_addresses"
    ),
    "images": Permission("larger images and videos", amount="max_image_pixels", unit="MP"),
    "drafts": Permission(
        "decode large JPEGs faster, at 1/2 to 1/8 of their size", amount="jpeg_draft", unit="MP"
    ),
    "remote-code": Permission("run code of the checkpoint", "trust_remote_code"),
    "other-prompt": Permission("a classifier of another prompt", "allow_other_prompt"),
    "partial": Permission("an unfinished store", "partial"),
    "removed": Permission("a class, or half of the images, gone since", "allow_removed"),
    "skips": Permission("N skipped files; else exit code 4", amount="max_skip", least=0),
}  # fmt: skip
"""Name in `--allow` -> what it permits."""


def spelling_of(name: str) -> str:
    """Return how a permission is written: `urls[:NGB]`, `images:NMP`.

    >>> spelling_of("urls"), spelling_of("images"), spelling_of("outside")
    ('urls[:NGB]', 'images:NMP', 'outside')
    """
    permission = PERMISSIONS[name]
    if permission.amount is None:
        return name
    number = f":N{permission.unit}"
    return f"{name}{number}" if permission.field is None else f"{name}[{number}]"


def parse_allowed(texts: Sequence[str], names: Sequence[str]) -> Fields:
    """Return the fields of permissions among `names`.

    >>> parse_allowed(["outside,urls:50GB"], ["outside", "urls"])
    {'allow_outside': True, 'fetch_urls': True, 'fetch_gb': 50}
    """
    fields: Fields = {}
    for part in (part for text in texts for part in parse_names(text)):
        name, colon, amount = part.partition(":")
        permission = PERMISSIONS[name] if name in names else None
        known = f"expected one of {', '.join(map(spelling_of, names))}"
        if permission is None or (not colon and permission.field is None):
            raise ValueError(f"is {part!r:.50}, {known}")
        if permission.field is not None:
            fields[permission.field] = True
        if not colon:
            continue
        number = whole_number(amount.removesuffix(permission.unit))
        if permission.amount is None or number is None or number < permission.least:
            raise ValueError(f"is {part!r:.50}, expected {spelling_of(name)}")
        is_in_millions = permission.unit == "MP" and amount.endswith("MP")
        fields[permission.amount] = number * (1_000_000 if is_in_millions else 1)
    return fields


def write_allowed(values: Mapping[str, Any]) -> str:
    """Return the text of the fields of `parse_allowed`."""
    parts = []
    for name, permission in PERMISSIONS.items():
        amount = values.get(permission.amount or "")
        if amount is not None:
            parts.append(f"{name}:{amount}{permission.unit if permission.unit == 'GB' else ''}")
        elif values.get(permission.field or "") is True:
            parts.append(name)
    return ",".join(parts)


def _content(path: str) -> str:
    from savs.foundation.files import read_regular_text

    try:
        return read_regular_text(Path(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {reason_of(error)}") from error


STORE_OR_RESULT = Option(
    metavar="STORE|RESULT", parse=parse_result, fills={"selection": "STORE/results/NAME"}
)
OTHER_MODEL = Option(
    level="more", metavar="ID[@REVISION]", parse=parse_model, fills={"revision": "ID@REVISION"}
)
