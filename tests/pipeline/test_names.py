"""Names that help texts show are those of the rooms."""

from savs.pipeline import names
from savs.pipeline.evaluation.export import FORMS
from savs.pipeline.heads.head_scores import SCORINGS, WORST_PROMPT
from savs.pipeline.heads.pursuit import PURSUIT
from savs.pipeline.readouts import READOUTS, TEXT_READOUTS


def test_names_are_those_of_the_catalogues():
    assert tuple(READOUTS) == names.READOUT_NAMES
    assert tuple(TEXT_READOUTS) == names.TEXT_READOUT_NAMES
    assert (*SCORINGS, PURSUIT, WORST_PROMPT) == names.SCORING_NAMES
    assert tuple(FORMS) == names.EXPORT_FORMS
