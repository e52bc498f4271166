"""Few-shot classification with the attention heads of a frozen multimodal model.

`extract` runs a model once and stores the output of its heads; `select` finds the heads that carry
a task, `evaluate` scores them on test examples, `classify` predicts new images. A name is imported
when it is first used, and torch when a model runs.

Examples
--------
>>> import savs
>>> savs.extract("image-folder", test="photos", shots=20, question="Which animal is this?",
...              model="demo", out="pets")  # doctest: +SKIP
>>> selection = savs.select("pets")  # doctest: +SKIP
>>> savs.evaluate("pets", selection).metrics[0].value  # doctest: +SKIP
"""

from savs.foundation.imports import DOORS as _DOORS
from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from savs.foundation.errors import SavsError
    from savs.foundation.imports import __version__
    from savs.pipeline.classifying.bundle.bundle import write_bundle, write_space
    from savs.pipeline.classifying.classification import classify
    from savs.pipeline.classifying.estimator import SavsClassifier
    from savs.pipeline.classifying.training import train
    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.evaluation.compare.compare import compare
    from savs.pipeline.evaluation.evaluation import evaluate
    from savs.pipeline.evaluation.evaluation_file import save_evaluation
    from savs.pipeline.evaluation.export import export
    from savs.pipeline.evaluation.query import query
    from savs.pipeline.evaluation.suggest import suggest
    from savs.pipeline.evaluation.sweep.sweep import sweep
    from savs.pipeline.extraction.entry_points import extract
    from savs.pipeline.inputs.importing import import_features
    from savs.pipeline.inputs.labelling import label
    from savs.pipeline.reports.explain.explain import explain
    from savs.pipeline.reports.predictions.predictions import PredictionPage
    from savs.pipeline.reports.report.report import report
    from savs.pipeline.selection.left_out import calibrate
    from savs.pipeline.selection.selection import Selection, select
    from savs.pipeline.selection.selection_file import load_selection, save_selection
    from savs.stores.maintain.copy import merge
    from savs.stores.maintain.verify import verify
    from savs.stores.read.store import FeatureStore, open_store

# of a store, whose room imports no pipeline
_DOORS["results"] = "savs.pipeline.evaluation.results:Results"
