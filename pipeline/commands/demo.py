"""`savs demo`: the whole pipeline on the shipped model."""

from pathlib import Path
from typing import Annotated

from savs.pipeline.commands.options import ConfigOption, JsonOption, option
from savs.pipeline.commands.output import print_json, progress, say
from savs.pipeline.commands.tables import print_evaluation, print_selection
from savs.pipeline.demo.story import run_demo
from savs.pipeline.extraction.stage import Reporting
from savs.pipeline.selection_file import save_selection
from savs.stores.results import (
    METRICS,
    PREDICTIONS,
    SELECTION,
    results_folder,
    write_metrics,
    write_predictions,
)


def demo_command(
    out: Annotated[
        Path, option(metavar="DIR", help="Folder for the scenes, the store and the results.")
    ] = Path("savs-demo"),
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Draw a small data set, extract it with the shipped model, select heads, evaluate."""
    demo = run_demo(out, Reporting(say, progress))
    store = demo.extraction.store.path
    folder = results_folder(store, demo.selection.readout)
    save_selection(demo.selection, folder / SELECTION)
    write_metrics(folder / METRICS, demo.evaluation.to_json())
    write_predictions(folder / PREDICTIONS, demo.evaluation.predictions)
    if as_json:
        print_json(demo.evaluation.to_json() | {"store": str(store)})
        return
    print()
    print_selection(demo.selection)
    print()
    print_evaluation(demo.evaluation)
    print(
        f"""
scenes and questions  {demo.files.root}
features              {store}
metrics, predictions  {folder}

next: savs show {store}
      savs select {store} --heads 5 && savs evaluate {store}
      savs extract general --train TRAIN.jsonl --test TEST.jsonl --model ID --out features"""
    )
