import pytest

from savs.pipeline.extraction import model_run
from savs.pipeline.extraction.checks.decisions import preflight


@pytest.fixture(scope="package", autouse=True)
def ways_tried_each_time():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_run, "preflight", preflight)
        yield
