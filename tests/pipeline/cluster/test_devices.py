import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.cluster.node import parse_devices

DEVICES = {
    "all": ["cuda:0", "cuda:1", "cuda:2"],
    "2": ["cuda:0", "cuda:1"],
    "0,2": ["cuda:0", "cuda:2"],
    "cuda:2,cuda:1": ["cuda:2", "cuda:1"],
    "cpu,cpu": ["cpu", "cpu"],
    "mps": ["mps"],
}
WRONG = {
    "4": "`gpus` 4: cuda:3 is not there; 3 are visible",
    "1,3": "`gpus` 1,3: cuda:3 is not there; 3 are visible",
    "1,1": "`gpus` is '1,1', expected all, a number of GPUs",
    "0": "`gpus` is '0', expected all, a number of GPUs",
    "1,,2": "`gpus` is '1,,2', expected all, a number of GPUs",
}


@pytest.mark.parametrize(("text", "devices"), DEVICES.items())
def test_what_gpus_names(text, devices) -> None:
    assert parse_devices(text, lambda: 3) == devices


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_gpus_that_are_not_there_are_refused(text, message) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        parse_devices(text, lambda: 3)


def test_all_of_none_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"^`gpus` all: no GPU is visible; see"):
        parse_devices("all", lambda: 0)
