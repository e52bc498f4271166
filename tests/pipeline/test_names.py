"""Names that help texts show are those of the rooms."""

from savs.pipeline import names
from savs.pipeline.evaluation.export import FORMS
from savs.pipeline.heads.scoring import SCORINGS
from savs.pipeline.readouts import READOUTS, TEXT_READOUTS


def test_names_are_those_of_the_catalogues():
    assert tuple(READOUTS) == names.READOUT_NAMES
    assert tuple(TEXT_READOUTS) == names.TEXT_READOUT_NAMES
    assert (*SCORINGS,) == names.SCORING_NAMES
    assert tuple(FORMS) == names.EXPORT_FORMS
