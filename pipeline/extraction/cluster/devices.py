"""What `--gpus` names: the device of each process on this machine."""

from collections.abc import Callable

from savs.foundation.errors import ParameterError

ALL, NONE = "all", "none"


def parse_devices(text: str, count_gpus: Callable[[], int]) -> list[str]:
    """Return the device of each process.

    Parameters
    ----------
    text
        `all`, a number of GPUs, their numbers (`0,2`), or names of devices (`cpu,cpu`), as
        `--device` takes them.
    count_gpus
        Returns how many GPUs this process sees.

    Raises
    ------
    ParameterError
        A GPU that is not there, none at all, or one twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if text == ALL:
        chosen = [f"cuda:{gpu}" for gpu in range(count_gpus())]
        if not chosen:
            raise ParameterError("--gpus all: no GPU is visible; see `nvidia-smi`, or leave it out")
        return chosen
    if len(parts) == 1 and text.isdecimal():
        chosen = [f"cuda:{gpu}" for gpu in range(int(text))]
    else:
        chosen = [f"cuda:{part}" if part.isdecimal() else part for part in parts]
    named = [device for device in chosen if device.startswith("cuda:")]
    if not chosen or not all(chosen) or len(set(named)) < len(named):
        raise ParameterError(
            f"--gpus is {text!r}, expected all, a number of GPUs, their numbers such as 0,2, or"
            " devices such as cuda:0,cuda:2"
        )
    if named:
        count = count_gpus()
        there = {f"cuda:{gpu}" for gpu in range(count)}
        if absent := [device for device in named if device not in there]:
            raise ParameterError(f"--gpus {text}: {absent[0]} is not there; {count} are visible")
    return chosen
