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
    from savs.foundation.errors import SavsError as SavsError
    from savs.foundation.imports import __version__ as __version__
    from savs.pipeline.classifying.bundle.bundle import (
        write_bundle as write_bundle,
        write_space as write_space,
    )
    from savs.pipeline.classifying.asking import ask as ask
    from savs.pipeline.classifying.classification import classify as classify
    from savs.pipeline.classifying.estimator import (
        SavsClassifier as SavsClassifier,
        SavsRegressor as SavsRegressor,
        load as load,
    )
    from savs.pipeline.classifying.exporting import export as export
    from savs.pipeline.classifying.image_features import (
        SavsFeatures as SavsFeatures,
        embed as embed,
    )
    from savs.pipeline.classifying.training import train as train
    from savs.pipeline.evaluation.assessment import Evaluation as Evaluation
    from savs.pipeline.evaluation.compare.compare import compare as compare
    from savs.pipeline.evaluation.evaluation_file import save_evaluation as save_evaluation
    from savs.pipeline.evaluation.query import query as query
    from savs.pipeline.evaluation.stage_two import evaluate as evaluate, select as select
    from savs.pipeline.evaluation.sweep.sweep import sweep as sweep
    from savs.pipeline.extraction.entry_points import extract as extract
    from savs.pipeline.inputs.importing import import_features as import_features
    from savs.pipeline.inputs.labelling import label as label
    from savs.pipeline.reports.explain.explain import explain as explain
    from savs.pipeline.reports.report.report import report as report
    from savs.pipeline.reports.suggestions.suggestions import suggest as suggest
    from savs.pipeline.selection.left_out import calibrate as calibrate
    from savs.pipeline.selection.selection import Selection as Selection
    from savs.pipeline.selection.selection_file import (
        load_selection as load_selection,
        save_selection as save_selection,
    )
    from savs.stores.maintain.copy import merge as merge
    from savs.stores.maintain.verify import verify as verify
    from savs.stores.read.store import FeatureStore as FeatureStore, open_store as open_store

# of a store, whose room imports no pipeline, and of `classify`, which is above the reports
_DOORS["results"] = "savs.pipeline.evaluation.results:Results"
_DOORS["page"] = "savs.pipeline.reports.predictions.predictions:PredictionPage"
