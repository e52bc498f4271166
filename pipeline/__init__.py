"""The two stages: `extract` on a GPU box, `select` and `evaluate` anywhere.

The functions are named like the commands. A name is imported when it is first used, and torch when
`extract`, `load_model` or `check_model` is called.
"""

from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from savs.datasets.splits.shots import Shots
    from savs.foundation.errors import SavsError
    from savs.pipeline.classifying.batch_step import ClassifyBatches
    from savs.pipeline.classifying.bundle.bundle import Bundle, write_bundle
    from savs.pipeline.classifying.bundle.hub import push
    from savs.pipeline.classifying.classification import Classification, classify
    from savs.pipeline.classifying.estimator import SavsClassifier
    from savs.pipeline.classifying.heads_classifier import HeadsClassifier
    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.evaluation.compare.compare import across_data_sets, compare, method_table
    from savs.pipeline.evaluation.evaluation import evaluate
    from savs.pipeline.evaluation.evaluation_file import save_evaluation
    from savs.pipeline.evaluation.export import export
    from savs.pipeline.evaluation.own_answer import generated_texts
    from savs.pipeline.evaluation.query import query
    from savs.pipeline.evaluation.suggest import (
        Suggestions,
        suggest,
        suggest_from_predictions,
    )
    from savs.pipeline.evaluation.suspects import suspects
    from savs.pipeline.evaluation.sweep.sweep import sweep
    from savs.pipeline.evaluation.sweep.table import Sweep, join_sweeps, save_sweep
    from savs.pipeline.extraction.entry_points import check_model, extract, load_model
    from savs.pipeline.extraction.run_extraction import Extraction
    from savs.pipeline.inputs.importing import Imported, import_features
    from savs.pipeline.inputs.split import Splitting, split
    from savs.pipeline.reports.explain.explain import explain
    from savs.pipeline.reports.explain.explanation import Explanations
    from savs.pipeline.reports.preview.preview import preview
    from savs.pipeline.reports.report.report import report
    from savs.pipeline.selection.heads.heads_table import heads_frame
    from savs.pipeline.selection.left_out import calibrate
    from savs.pipeline.selection.selection import Selection, select
    from savs.pipeline.selection.selection_file import (
        load_selection,
        save_selection,
    )
    from savs.stores.maintain.copy import merge, slim
    from savs.stores.maintain.repair import repair
    from savs.stores.maintain.verify import verify
    from savs.stores.read.store import open_store
