"""The list of faults fits the code: each text stands once in its file, and its tests exist."""

import pytest
from mutate import ROOT, read_faults


@pytest.mark.parametrize("fault", read_faults(), ids=lambda fault: fault.name)
def test_a_fault_has_its_place_and_its_tests(fault):
    assert fault.text() != (ROOT / fault.file).read_text()
    assert fault.tests
    for test in fault.tests:
        assert (ROOT / test.partition("::")[0]).exists(), test
