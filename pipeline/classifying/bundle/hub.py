"""The Hugging Face Hub: classifiers, Spaces and stores are uploaded, classifiers fetched."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.foundation.files import PARTIAL
from savs.foundation.network import HUB, HUB_DATASETS, HUB_SPACES, hub_problem
from savs.pipeline.classifying.bundle.bundle import BUNDLE, bundle_files, space_files
from savs.pipeline.errors import HubError, MissingExtraError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.running.result_files import CLASSIFIER, CONFIG, LARGEST_JSON
from savs.stores import open_store
from savs.stores.format.layout import CARD, MANIFEST, RESULTS

LARGEST_CLASSIFIER = 2**32
"""Bytes of a classifier's arrays that are fetched: 100 times what 20 heads need for knn."""
KINDS = {
    HUB_DATASETS: ("dataset", "feature store"),
    HUB_SPACES: ("space", "Space"),
    HUB: ("model", "classifier"),
}
"""Beginning of a name -> the hub's kind of repository, and what we upload there."""
REFUSALS = {
    "GatedRepoError": "it is gated; ask for access on its page, then set HF_TOKEN",
    "RepositoryNotFoundError": "there is no such repository, or it is private: then set HF_TOKEN",
    "RevisionNotFoundError": "there is no such branch, tag or commit",
    "LocalEntryNotFoundError": "it was not fetched before",
}
"""Class of an error of the hub's client -> what a user can do."""
STATUSES = {
    401: "the hub refuses the token; set HF_TOKEN to a valid one, or run `hf auth login`",
    403: "the token may not write there; take one with write access to this owner",
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """A classifier, a store or a Space on the Hub."""

    name: str
    """`hf://owner/name`, `hf://datasets/owner/name` or `hf://spaces/owner/name`."""
    address: str
    """Its page."""
    commit: str


def find_classifier(
    classifier: str | Path, say: Callable[[str], None] = lambda line: None
) -> Result:
    """Return a classifier by its folder, its store (see `Results.default`) or a hub name.

    What is on the hub is fetched, see `fetch_classifier`, and `say` is given its commit. HubError
    also for a name that was made a `Path`, which drops a slash. ResultError as `Result.at`.
    """
    text = str(classifier) if isinstance(classifier, str | Path) else ""
    if text.startswith(HUB):
        folder = fetch_classifier(text)
        say(f"{text} is at commit {folder.name}")
        return Result(folder)
    if text.startswith("hf:/"):
        raise HubError(f"{text}: Path drops a slash; pass the text {HUB}{text[4:]} instead")
    return Result.at(classifier)


def push(folder: str | Path, name: str, *, private: bool = True) -> Pushed:
    """Upload a bundle, a store or a Space in one commit; its repository is made if there is none.

    Of a bundle only its own files are uploaded, of a store its shards, store.json, results and
    card, of a Space also the folder `model`; a bundle or a Space is loaded and checked first.
    Symbolic links are refused: they may lead to other files of the machine.

    The name is `hf://owner/name` for a bundle, `hf://datasets/owner/name` for a store,
    `hf://spaces/owner/name` for a Space. A repository that exists stays as private as it is.

    ResultError if the folder is not a bundle or a Space, or not as it was written; StoreError if it
    is not a store, or a shard is missing; HubError if there is a link in the folder, there is no
    token, or the hub refuses or cannot be reached; MissingExtraError if huggingface_hub is not
    installed.
    """
    folder = Path(folder)
    prefix = next(start for start in KINDS if name.startswith(start))
    kind, what = KINDS[prefix]
    if kind == "dataset":
        paths = _store_files(folder)
    else:
        paths = space_files(folder) if kind == "space" else bundle_files(folder)
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    _require_regular(folder, files)
    owner_and_name = name.removeprefix(prefix)
    hub = _require_hub()
    _require_name(hub, owner_and_name)
    if hub.get_token() is None:
        raise HubError("there is no token for the hub; set HF_TOKEN, or run `hf auth login`")
    with _hub_errors(owner_and_name, "pushed"), _progress_on_terminals():
        api = hub.HfApi()
        api.create_repo(
            owner_and_name,
            repo_type=kind,
            private=private,
            exist_ok=True,
            space_sdk="gradio" if kind == "space" else None,
        )
        on_hub = set(api.list_repo_files(owner_and_name, repo_type=kind))
        ours = {path for path in on_hub if path.endswith((".h5", MANIFEST))}
        stale = (ours if kind == "dataset" else on_hub & {*BUNDLE}) - set(files)
        done = api.create_commit(
            owner_and_name,
            [
                *(hub.CommitOperationAdd(path, file) for path, file in files.items()),
                *(hub.CommitOperationDelete(path) for path in sorted(stale)),
            ],
            repo_type=kind,
            commit_message=f"Upload a {what}",
        )
    pages = prefix.removeprefix(HUB)
    return Pushed(f"{prefix}{owner_and_name}", f"{api.endpoint}/{pages}{owner_and_name}", done.oid)


def _store_files(folder: Path) -> list[Path]:
    """Return the files of a finished store, without those of other programs."""
    store = open_store(folder)
    store.require_complete()
    shards = [spec.name for spec in store.manifest.plan.shards()]
    results = (folder / RESULTS).rglob("*") if (folder / RESULTS).is_dir() else ()
    files = [folder / name for name in (MANIFEST, CARD, *shards)]
    files += [path for path in results if not path.is_dir() and PARTIAL not in str(path)]
    return [path for path in sorted(files) if path.is_file()]


def _require_regular(folder: Path, files: Mapping[str, Path]) -> None:
    """Raise HubError if a file is a link, or lies below one."""
    for path, file in files.items():
        parts = (file, *(parent for parent in file.parents if parent.is_relative_to(folder)))
        if link := next((part for part in parts if part != folder and part.is_symlink()), None):
            raise HubError(
                f"{link} is a link to {link.readlink()}, and {path} would be uploaded from there;"
                " replace it by the file, or remove it"
            )


def fetch_classifier(name: str) -> Path:
    """Return the folder of a classifier on the hub, which has the name of its commit.

    The name is `hf://owner/name`, or `hf://owner/name@revision`: a branch, tag or commit. What was
    fetched is available offline. HubError if it is not there, is larger than a classifier may be,
    or the hub cannot be reached; MissingExtraError if huggingface_hub is not installed.
    """
    repository, _, revision = name.removeprefix(HUB).partition("@")
    hub = _require_hub()
    _require_name(hub, repository)
    problem = hub_problem()
    is_offline = bool(problem) or hub.constants.HF_HUB_OFFLINE
    with _hub_errors(name, "fetched", problem), _progress_on_terminals():
        if not is_offline:
            _require_sizes(name, hub.HfApi().model_info(
                repository, revision=revision or None, files_metadata=True
            ))  # fmt: skip
        folder = hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=[CLASSIFIER, CONFIG],
            local_files_only=is_offline,
        )
    return Path(folder)


def _require_sizes(name: str, repository: Any) -> None:
    """Raise HubError if a repository has no classifier, or one that would fill the disk."""
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in repository.siblings or ()}
    for file, most in ((CONFIG, LARGEST_JSON), (CLASSIFIER, LARGEST_CLASSIFIER)):
        if file not in sizes:
            raise HubError(f"{name} is not a classifier: it has no {file}")
        if sizes[file] > most:
            raise HubError(f"{name}: {file} has {sizes[file]:,} bytes, more than {most:,}")


def _require_hub() -> Any:
    try:
        import huggingface_hub
        from huggingface_hub import constants, utils  # noqa: F401 - attributes from now on
    except ImportError as error:
        raise MissingExtraError(
            "the hub needs the package huggingface_hub; install it with: pip install"
            " huggingface_hub"
        ) from error
    return huggingface_hub


def _require_name(hub: Any, name: str) -> None:
    try:
        hub.utils.validate_repo_id(name)
    except ValueError as error:
        raise HubError(f"{name!r} is no name on the hub: {error}") from error
    if name.count("/") != 1:
        raise HubError(f"{name!r} is no name on the hub; expected owner/name")


@contextmanager
def _hub_errors(name: str, what: str, problem: str | None = None) -> Iterator[None]:
    """Turn each failure of the hub, which has a class of its own, into a HubError."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        line = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        known = REFUSALS.get(type(error).__name__) or STATUSES.get(status or 0) or line
        reason = f"{known}, and {problem}" if problem else known
        raise HubError(f"{name} cannot be {what}: {reason}") from error


@contextmanager
def _progress_on_terminals() -> Iterator[None]:
    """Show the bars of the hub's client on a terminal alone."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
