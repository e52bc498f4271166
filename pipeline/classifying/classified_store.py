"""The store of new images next to an output: `new.csv.store` has the chosen heads after `new.csv`.

It is a feature store as any other, with an empty train split, so it resumes, is shared and is read
as they are. This file says which examples it holds, and of what the table next to it is.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from savs.datasets import Example, MediaFolder
from savs.datasets.rows.media_names import is_packed
from savs.datasets.splits.shared_media import digests_of
from savs.foundation.files import file_sha256
from savs.pipeline.classifying.new_images import Group
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.rows.appending import as_examples, stored_rows
from savs.pipeline.running.result_files import write_json
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.stores import FeatureStore, ShardSpec
from savs.stores.format.layout import CLAIMS, MANIFEST, RESULTS, Facts, decode_json
from savs.stores.write.opening import require_no_writer

STORE = ".store"
"""Suffix of the store's name, after the name of the output."""
RECORD = f"{RESULTS}/classify.json"
"""File of the store that records the origin of the table."""
AT_ONCE = 8
"""Media that are read at the same time."""
CHUNK = 64
"""Media that one thread reads one after the other."""


def store_beside(out: Path) -> Path:
    """Return the folder of the store of an output."""
    return out.with_name(out.name + STORE)


@dataclass(frozen=True, slots=True)
class StoreExamples:
    """The examples of a store of new images, those of earlier runs included."""

    examples: list[Example]
    """All of them, in the order of the plan."""
    todo: list[Example]
    """Those without features whose media can be read: they are given to this run."""
    folders: Mapping[str, MediaFolder]
    """Id of each example that is given to this run -> folder of its media."""

    def media_of(self, example: Example) -> MediaFolder:
        """Return the folder of an example's media."""
        return self.folders[example.id]

    def can_redo(self, _: ShardSpec, ids: Sequence[str]) -> bool:
        """Return whether a shard of these examples can be made again."""
        return all(identifier in self.folders for identifier in ids)


def store_examples(
    out: Path, store: FeatureStore | None, groups: Sequence[Group], selection: SelectionConfig
) -> StoreExamples:
    """Return the examples that a store will hold: those of earlier runs, then those of `groups`.

    An example that the store plans already has the place that it has there, so that images may be
    given in another order, or with others between them.

    OutputError if the store has features of an example of the same id with another prompt, other
    names of media or other content; or if a run that was stopped planned an example that is not
    given now.
    """
    by_id = dict(_by_store_id(groups, selection))
    folders = {identifier: folder for identifier, (_, folder) in by_id.items()}
    if store is None:
        new = [replace(example, index=n) for n, (example, _) in enumerate(by_id.values())]
        return StoreExamples(new, new, folders)
    store = store.as_extracted()
    planned = store.ids("test")
    rows = stored_rows(store, "test")
    held = {} if rows is None else as_examples(rows, "test")
    if absent := [name for name in planned if name not in held and name not in by_id]:
        raise OutputError(
            f"{out}: an earlier run was stopped before it came to {len(absent):,} images that are"
            f" not given now, {absent[0]!r} first; give them, too, pass another `out`, or `force`"
            " to begin again"
        )
    _require_same(out, held, by_id)
    if rows is not None:
        _require_same_content(out, store, by_id)
    names = list(dict.fromkeys([*planned, *by_id]))
    new = {n: replace(by_id[n][0], index=p) for p, n in enumerate(names) if n not in held}
    examples = [held.get(name) or new[name] for name in names]
    return StoreExamples(examples, list(new.values()), folders)


def _by_store_id(
    groups: Sequence[Group], selection: SelectionConfig
) -> Iterator[tuple[str, tuple[Example, MediaFolder]]]:
    """Yield the id that each example has in the store, the example with it, and its folder."""
    numbers = {task.subtask: number for number, task in enumerate(selection.run_tasks, start=1)}
    for group in groups:
        for example in group.examples:
            number = f"#{numbers[example.subtask]}" if len(numbers) > 1 else ""
            identifier = example.id + number
            yield identifier, (replace(example, id=identifier), group.media)


def _require_same(
    out: Path, held: Mapping[str, Example], by_id: Mapping[str, tuple[Example, MediaFolder]]
) -> None:
    """Raise OutputError if an id now has other media, or another question, than before."""
    for name, (example, _) in by_id.items():
        before = held.get(name)
        if before is not None and (before.media, before.prompt) != (example.media, example.prompt):
            was, now = (f"{', '.join(e.media)}, {e.prompt!r}" for e in (before, example))
            raise OutputError(
                f"{out} has id {name!r} with {was}, and now with {now}; pass another `out`, or"
                " `force` to replace it"
            )


def _require_same_content(
    out: Path, store: FeatureStore, by_id: Mapping[str, tuple[Example, MediaFolder]]
) -> None:
    """Raise OutputError if a medium has other bytes than when its features were made.

    Media that cannot be read any more keep their predictions, and skipped ones may be mended.
    """
    recorded = store.examples("test").select("id", "media_sha256").iter_rows()
    rows = [(name, *by_id[name], digests) for name, digests in recorded if name in by_id]
    now = digests_in((example, folder) for _, example, folder, _ in rows)
    for name, example, folder, digests in rows:
        for medium, before in zip(example.media, digests, strict=True):
            if now.get((id(folder), medium), before) != before:
                raise OutputError(
                    f"{out} has a prediction of other content under the name {medium!r} (id"
                    f" {name!r}): the file was changed since; pass another `out`, or `force` to"
                    " begin again"
                )


def digests_in(rows: Iterable[tuple[Example, MediaFolder]]) -> dict[tuple[int, str], str]:
    """Return `id` of a folder and name of each medium that can be read -> its SHA-256."""
    media: dict[int, tuple[MediaFolder, dict[str, None]]] = {}
    for example, folder in rows:
        media.setdefault(id(folder), (folder, {}))[1].update(dict.fromkeys(example.media))
    digests: dict[tuple[int, str], str] = {}
    for folder, names in ((folder, [*names]) for folder, names in media.values()):
        at_once = 1 if any(map(is_packed, names)) else AT_ONCE  # rows of files follow each other
        chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
        with ThreadPoolExecutor(at_once, thread_name_prefix="savs-media") as pool:
            for some in pool.map(partial(digests_of, media=folder), chunks):
                digests |= {(id(folder), name): digest for name, digest in some.items()}
    return digests


@dataclass(frozen=True, slots=True)
class TableRecord:
    """The origin of a table, as its store records it."""

    made: Facts
    """The classifier, the model and the question of its predictions: others are refused."""
    content: str = ""
    """Digest of the shards that the newest table was written from; nothing if that is not known
    because a run was killed, or because some were missing."""
    features: str = ""
    """Digest of all that the features depend on, besides the images: model, prompts, classifier and
    versions. Empty if that is not known, or was not the same for all."""
    tables: tuple[str, ...] = ()
    """SHA-256 that the table may have: that of the newest one, last, and where a run was killed
    while it replaced a table, that of the older one."""

    def write(self, store: Path) -> None:
        """Write it into a store."""
        write_json(store / RECORD, msgspec.to_builtins(self))

    def require_ours(self, out: Path, facts: Facts) -> None:
        """Raise OutputError if predictions would be made in another way, or a table was changed."""
        if self.made != facts:
            keys = [key for key in facts if self.made.get(key) != facts[key]]
            raise OutputError(
                f"{out} has predictions that were made otherwise ({', '.join(keys)} differ); pass"
                " another `out`, or `force` to replace it"
            )
        if out.exists() and file_sha256(out) not in self.tables:
            raise OutputError(
                f"{out} was changed since `savs classify` wrote it; move it away, and the same"
                " command writes it again, or pass `force` to begin again"
            )


def read_record(out: Path) -> TableRecord | None:
    """Return what the store of an output records of its table; None if it does not yet.

    OutputError if the record is damaged, or there is a table without one.
    """
    store = store_beside(out)
    record = read_store_record(store)
    if record is None and out.exists():
        raise OutputError(
            f"{out} exists and has no {store.name} that made it, so it is not known what it holds;"
            " pass another `out`, or `force` to replace it"
        )
    return record


def read_store_record(store: Path) -> TableRecord | None:
    """Return what a store records of its output; None if it does not. OutputError if damaged."""
    path = store / RECORD
    try:
        return msgspec.convert(decode_json(path.read_bytes()), TableRecord)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path} cannot be read ({error}); pass `force` to begin again"
        ) from error


def remove_store(path: Path) -> None:
    """Remove the store of an output, if there is one.

    OutputError if the disk refuses; StoreLockedError if another process writes to it.
    """
    if not ((path / MANIFEST).exists() or (path / CLAIMS).is_dir()):
        return
    require_no_writer(path)
    try:
        shutil.rmtree(path)
    except FileNotFoundError:  # another process was faster
        pass
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror}") from error
