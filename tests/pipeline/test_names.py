"""Names that help texts show are those of the rooms."""

from savs.pipeline import names
from savs.pipeline.evaluation.export import FORMS


def test_names_are_those_of_the_catalogues():
    assert tuple(FORMS) == names.EXPORT_FORMS
