"""Options that several commands share: each has one name and one meaning."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.pipeline.names import SCORING_NAMES
from savs.pipeline.running.table import FORMS, TABLE

if TYPE_CHECKING:
    from savs.stores import FeatureStore

ADVANCED = "Advanced options"
"""The last panel of a command's help."""
FILE_ONLY = "Configuration file"
"""Mark of options that the command line does not take, see `savs.pipeline.running.options`."""

option = partial(typer.Option, show_envvar=False)
"""An option; its environment variable, SAVS_<COMMAND>_<OPTION>, is not shown in the help."""
advanced = partial(option, rich_help_panel=ADVANCED)
setting = partial(option, rich_help_panel=FILE_ONLY)

StoreArgument = Annotated[
    str,
    typer.Argument(metavar="STORE", help="Feature store: a folder or a URL (https://)."),
]

BenchmarkOption = Annotated[
    str | None,
    setting("--benchmark", help="Python file of the benchmark, if the store was made with one."),
]

OtherPromptOption = Annotated[
    bool,
    advanced("--allow-other-prompt", help="Warn about a different prompt instead of failing."),
]

RiskOption = Annotated[
    float | None,
    option(
        metavar="P",
        help="Conformal prediction sets that lack the truth, or that share of true labels, at most"
        " this often, such as 0.05.",
    ),
]

HeadsOption = Annotated[
    str | None,
    option(
        "--heads",
        metavar="N|all|L12.H7,...|DIR",
        help="Heads to use: the N best, all, a list, or those of a saved selection.",
    ),
]


ScoringOption = Annotated[
    str | None,
    advanced(
        "--scoring",
        metavar="NAME",
        help=f"How heads are scored: {', '.join(SCORING_NAMES)}, or a Python file (default:"
        " resubstitution).",
    ),
]

SelectionOption = Annotated[
    str | None,
    option(
        "--selection",
        metavar="NAME|DIR",
        help="Selection to use: a name in STORE/results, or a folder (default: trained, vote, or"
        " the only one).",
    ),
]

SubtaskOption = Annotated[
    str | None, option(metavar="NAME", help="Only this subtask, or this prompt of several.")
]

ClassifierModelOption = Annotated[
    str | None, advanced(metavar="ID", help="Model, if it is not where the classifier says.")
]

ClassifierRevisionOption = Annotated[
    str | None, setting(help="Revision of the model (default: the classifier's).")
]

ClassifierDtypeOption = Annotated[
    str | None, setting(help="auto, bfloat16, float16 or float32 (default: the classifier's).")
]

MaxSkipOption = Annotated[
    int,
    advanced("--max-skip", min=0, help="Exit with code 4 if this run skips more images or texts."),
]

MediaRootOption = Annotated[
    Path | None,
    option(metavar="DIR", help="Folder of the images (default: the store's thumbnails)."),
]


def require_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise a usage error unless a parameter has one of the known values."""
    if value not in known:
        raise typer.BadParameter(f"`{name}` is {value!r}, expected one of {', '.join(known)}")


def require_form(form: str, *, as_json: bool) -> None:
    """Raise a usage error unless a table has this form, and is not asked for as JSON as well."""
    require_choice("form", form, (TABLE, *FORMS))
    if form != TABLE and as_json:
        raise typer.BadParameter("--format and --json are two ways to print; pass one")


def read_text(path: Path, option: str = "") -> str:
    """Return the text of a file that an option names; a usage error if it cannot be read."""
    from savs.foundation.files import read_regular_text

    try:
        return read_regular_text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        name = f"`{option}` {path}" if option else path
        raise typer.BadParameter(f"{name} cannot be read: {reason}") from error


def require_folder(media_root: Path | None) -> None:
    """Raise a usage error if the path of the images is not a folder."""
    if media_root is not None and not media_root.is_dir():
        raise typer.BadParameter(f"`media_root` is {str(media_root)!r}, which is not a folder")


def require_page(out: Path) -> None:
    """Raise a usage error unless a name ends like that of a page."""
    from savs.pipeline.names import PAGE_SUFFIXES

    if out.suffix.lower() not in PAGE_SUFFIXES:
        raise typer.BadParameter(f"`out` is {str(out)!r}, expected a name that ends in .html")


def result_place(store: "FeatureStore", out: Path | None, name: str) -> Path:
    """Return the folder of a result: `--out`, or one in the store if that can be written."""
    from savs.pipeline.evaluation.results import Results
    from savs.stores.files.addresses import is_remote

    if out is not None:
        return out
    if is_remote(store.path):
        raise typer.BadParameter(f"{store.path} is read-only; pass --out DIR for the results")
    folder = Results(store.path).place(name).folder
    if link := next((path for path in (folder.parent, folder) if path.is_symlink()), None):
        raise typer.BadParameter(
            f"{link} is a link to {link.readlink()}, where files would be replaced; move it away,"
            " or pass --out DIR"
        )
    return folder
