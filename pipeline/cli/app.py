"""The `savs` command: parse, call one stage, print."""

import sys
import warnings
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from savs.foundation.errors import SavsError
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.commands.benchmarks import benchmarks_command
from savs.pipeline.cli.commands.check_model import check_model_command
from savs.pipeline.cli.commands.compare import compare_command
from savs.pipeline.cli.commands.demo import demo_command
from savs.pipeline.cli.commands.evaluate import evaluate_command
from savs.pipeline.cli.commands.extract import extract_command
from savs.pipeline.cli.commands.models import models_command
from savs.pipeline.cli.commands.moving import export_command, merge_command, slim_command
from savs.pipeline.cli.commands.preview import preview_command
from savs.pipeline.cli.commands.query import query_command
from savs.pipeline.cli.commands.select import select_command
from savs.pipeline.cli.commands.show import show_command
from savs.pipeline.cli.commands.split import split_command
from savs.pipeline.cli.commands.sweep import sweep_command
from savs.pipeline.cli.commands.verify import repair_command, verify_command
from savs.pipeline.cli.output import say
from savs.pipeline.running import signals as interruption
from savs.stores import StoreCorruptError, StoreFormatError, StoreIncompleteError

app = typer.Typer(
    name="savs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    context_settings={"auto_envvar_prefix": "SAVS", "help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("savs"))
        raise typer.Exit


@app.callback(
    help=(
        "Few-shot classification out of a frozen large multimodal model, from stored features. "
        "Every option is also read from SAVS_<COMMAND>_<OPTION> and from --config."
    )
)
def _before(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
            show_envvar=False,
        ),
    ] = False,
) -> None:
    """Read the options that stand before a command."""


app.command("demo")(demo_command)
app.command("split")(split_command)
app.command("preview")(preview_command)
app.command("extract")(extract_command)
app.command("models")(models_command)
app.command("check-model")(check_model_command)
app.command("select")(select_command)
app.command("evaluate")(evaluate_command)
app.command("compare")(compare_command)
app.command("sweep")(sweep_command)
app.command("query")(query_command)
app.command("show")(show_command)
app.command("export")(export_command)
app.command("slim")(slim_command)
app.command("merge")(merge_command)
app.command("verify")(verify_command)
app.command("repair")(repair_command)
app.command("benchmarks")(benchmarks_command)


def main() -> NoReturn:
    """Run the command; exit 0 done, 1 failed, 2 usage, 3 store incomplete or corrupt, 130 stopped.

    An error of the input is one line on stderr; an error of the program keeps its traceback.
    """
    warnings.filterwarnings("ignore", module="PIL")  # of odd metadata, which is no matter
    interruption.listen()
    try:
        app()
    except SavsError as error:
        say(f"error: {error}")
        of_store = (StoreIncompleteError, StoreCorruptError, StoreFormatError)
        sys.exit(exits.STORE if isinstance(error, of_store) else exits.FAILURE)
    except SystemExit as end:
        if end.code == exits.INTERRUPTED and not interruption.is_explained():
            say("interrupted")
        raise
    sys.exit(0)


if __name__ == "__main__":
    main()
