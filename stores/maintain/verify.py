"""Compare a store with what it says of itself: every shard, every byte, every stray file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.foundation.files import file_sha256
from savs.foundation.progress import track
from savs.stores.errors import REPAIR, StoreCorruptError, StoreReadError
from savs.stores.files.addresses import local_folder
from savs.stores.format.layout import MANIFEST, SPLITS
from savs.stores.format.manifest import (
    Manifest,
    manifest_bytes,
    parse_manifest,
    read_manifest,
)
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.read import Shard, open_shard
from savs.stores.write.opening import left_overs

REDO = "run the same `savs extract` command again"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be."""

    file: str
    """Name in the store's folder."""
    kind: str
    """manifest, missing, damaged, unreadable, foreign or left-over."""
    what: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """Return the form that `savs verify --json` prints."""
        return {"file": self.file, "kind": self.kind, "what": self.what, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found."""

    shards: int
    """Planned shards."""
    bytes: int
    """Bytes that were read of the shards that are there."""
    sealed: bool
    """Whether store.json has the digest of every shard; without, changed bytes are found in
    features, columns and declarations alone."""
    problems: tuple[Problem, ...]


def verify(store: str | Path, *, quick: bool = False) -> Report:
    """Verify a store.

    A full verification reads every byte: of a sealed store it finds any that changed, of one that
    is not finished yet those of features and columns. Results are not looked at.

    Parameters
    ----------
    store
        Feature store: a folder.
    quick
        Check names, sizes and headers only, not the features.

    Raises
    ------
    StoreNotFoundError, StoreFormatError, StoreCorruptError
        There is no store.json to compare with.
    StoreReadError
        It is a URL.
    """
    folder = local_folder(store)
    data = manifest_bytes(folder)
    manifest = parse_manifest(folder / MANIFEST, data)
    planned = manifest.plan.shards()
    if data != manifest.to_text().encode("utf-8"):  # nothing can be judged by what is not trusted
        problem = Problem(
            MANIFEST,
            "manifest",
            "it differs from what savs writes: it was edited, or a byte changed; the shards were"
            " not checked and may be intact",
            "restore it from a copy, or extract into another folder",
        )
        return Report(len(planned), 0, manifest.sealed, (problem,))
    problems, sealed = [], {shard.name for shard in manifest.shards}
    done = 0
    for spec in track(planned, "shards"):
        try:
            problem = shard_problem(folder, spec, manifest, quick=quick)
            done += 0 if quick else (folder / spec.name).stat().st_size
        except FileNotFoundError:
            was = "existed when the store was finished"
            what = f"it {was if spec.name in sealed else 'was not extracted yet'}"
            problem = Problem(spec.name, "missing", what, REDO)
        if problem is not None:
            problems.append(problem)
    if not quick and not problems:
        problems += _label_problems(folder, manifest)
    names = {spec.name for spec in planned}
    for path in sorted(folder.glob("*.h5")):
        if path.name not in names and path.is_file():
            what, remedy = "it is not in the plan", "move it away, or give it its name back"
            problems.append(Problem(path.name, "foreign", what, remedy))
    for path in left_overs(folder):
        what = "a process that no longer runs left it"
        name = str(path.relative_to(folder))
        problems.append(Problem(name, "left-over", what, "run `savs verify --repair`"))
    return Report(len(planned), done, manifest.sealed, tuple(problems))


def shard_problem(
    folder: Path, spec: ShardSpec, manifest: Manifest, *, quick: bool = False
) -> Problem | None:
    """Return what is wrong with the file of a shard, as `verify` reports it; None if nothing is.

    The file is there; the manifest of its store may be older. A shard that was written again since
    the manifest was read is judged by what store.json says now: its writer takes it out of the seal
    first. A `quick` look compares size and declarations only and reads no values.
    """
    while (problem := _problem(folder / spec.name, spec, manifest, quick)) is not None:
        now = read_manifest(folder)
        if now == manifest:
            return problem
        manifest = now
    return None


def _problem(path: Path, spec: ShardSpec, manifest: Manifest, quick: bool) -> Problem | None:
    sealed = next((shard for shard in manifest.shards if shard.name == spec.name), None)
    size = path.stat().st_size
    if sealed is not None and size != sealed.bytes:
        what = f"it has {size:,} bytes, expected {sealed.bytes:,} as in {MANIFEST}"
        return Problem(spec.name, "damaged", what, REPAIR)
    try:
        with open_shard(path, spec, manifest) as shard:
            rows = shard.rows
            if not quick:
                _read_all(shard, manifest, spec)
    except StoreCorruptError as error:
        return Problem(spec.name, "damaged", _short(error, path), REPAIR)
    except StoreReadError as error:
        return Problem(spec.name, "unreadable", _short(error, path), "check its permissions")
    if sealed is not None and rows != sealed.rows:
        what = f"it has {rows} examples, expected {sealed.rows} as in {MANIFEST}"
        return Problem(spec.name, "damaged", what, REPAIR)
    if sealed is not None and not quick:
        if file_sha256(path) == sealed.sha256:
            return None
        what = f"its SHA-256 is not the one in {MANIFEST}, though features and columns are intact"
        return Problem(spec.name, "damaged", what, REPAIR)
    return None


def _read_all(shard: Shard, manifest: Manifest, spec: ShardSpec) -> None:
    """Read everything in a shard, which checks it; raise StoreCorruptError at the first damage."""
    _ = shard.run
    shard.check_hdf5()
    ids = manifest.plan.planned_ids(spec)
    held = [*shard.examples()["id"], *shard.skipped()["id"]]
    if sorted(held) != sorted(ids):
        odd = next(iter({*held} ^ {*ids}), "one twice")
        raise StoreCorruptError(f"its examples are not the planned ones ({odd!r})")
    for grid in manifest.identity.grid:
        shard.heads([(grid, head) for head in grid.heads])
    for name in manifest.identity.outputs:
        shard.output(name)


def _label_problems(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """Yield the first shard that has labels where earlier ones of its split have none, or not."""
    lacks_labels: dict[str, set[bool]] = {}
    for spec in manifest.plan.shards():
        with open_shard(folder / spec.name, spec, manifest) as shard:
            tables = shard.examples(["label"]), shard.skipped(["label"])
        known = lacks_labels.setdefault(spec.split, set())
        known.update(table["label"].null_count() > 0 for table in tables if table.height)
        if len(known) > 1 and spec.split in SPLITS:
            what = "it has labels, or none, unlike earlier shards of its split"
            yield Problem(spec.name, "damaged", what, REPAIR)
            return


def _short(error: Exception, path: Path) -> str:
    """Return a message without the file's name and its remedy, which a problem has anyway."""
    return str(error).split("; ", 1)[0].replace(f"{path}:", "").replace(f"{path} ", "it ")
