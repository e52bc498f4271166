"""`savs demo`: the whole pipeline on the shipped model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from savs import pipeline
from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, option
from savs.pipeline.cli.output import percent, print_json, print_table, progress, say
from savs.pipeline.names import ZERO_SHOT
from savs.pipeline.running.progress import Reporting

if TYPE_CHECKING:
    from savs.pipeline.cli.demo_run import Demo


def demo_command(
    out: Annotated[
        Path, option(metavar="DIR", help="Folder for the scenes, the store and the results.")
    ] = Path("savs-demo"),
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run on the CPU, without a network."""
    from savs.pipeline.cli.demo_run import run_demo
    from savs.stores.results import results_folder

    demo = run_demo(out, Reporting(say, progress))
    store = demo.extraction.store
    for name, result in (("vote", demo.evaluation), (ZERO_SHOT, demo.own_answers)):
        pipeline.save_evaluation(result, results_folder(store.path, name))
    if json:
        own = {"zero_shot": demo.own_answers.to_json()}
        print_json(demo.evaluation.to_json() | own | {"store": str(store.path)})
        return
    _print_story(demo)


def _print_story(demo: "Demo") -> None:
    from savs.pipeline.cli.demo_run import HEADS
    from savs.pipeline.cli.head_map import heat_map

    store = demo.extraction.store
    print("\nThe heads that were chosen, the darker the more tasks chose them:\n")
    print("\n".join(heat_map(demo.selection, store.grid)))
    print(f"\n{HEADS} heads vote, beside the model's own answers to the same prompts (%):\n")
    own = {metric.name: metric.value for metric in demo.own_answers.metrics}
    rows = [
        [
            metric.name.removeprefix("accuracy, "),
            percent(metric.value),
            f"{percent(metric.low)} .. {percent(metric.high)}",
            percent(own.get(metric.name)),
            percent(metric.chance),
        ]
        for metric in demo.evaluation.metrics
        if metric.name not in ("accuracy", "accuracy, macro")
    ]
    print_table(["task", "heads", "95 % interval", "zero-shot", "chance"], rows)
    print(
        f"""
animal, fruit and creature have labels that the model never met (a red thing is a "mango"): it
cannot answer, but 20 examples of each class tell its heads what is meant.

scenes and questions  {demo.files.root}
features              {store.path}
metrics, predictions  {store.path}/results

next: savs show {store.path}
      savs select {store.path} --heads 5 && savs evaluate {store.path}
      savs extract general --train TRAIN.jsonl --test TEST.jsonl --model ID --out features"""
    )
