"""Engines of installed packages: functions that run one command in many processes."""

from collections.abc import Callable, Sequence
from typing import Any

from savs.foundation.errors import ParameterError, SavsError
from savs.foundation.installed import Additions, function_problem
from savs.foundation.plugin_calls import calling
from savs.pipeline.errors import ClusterError

LOCAL, RAY = "local", "ray"
Engine = Callable[..., Sequence[int]]
"""`engine(command, arguments, say=, tick=)` runs `command(arguments)`, a function of a module, in
processes of its own and returns the exit codes. It calls `tick()` while it waits, and `say(text)`
for messages. The processes share the work, and each must have the environment variables `RANK`
and `WORLD_SIZE`."""
ADDED_ENGINES: Additions[Engine] = Additions(
    "savs.engines", function_problem, lambda: (LOCAL, RAY), ClusterError
)


def run_on_engine(
    name: str,
    command: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    *,
    say: Callable[[str], None],
    tick: Callable[[], None],
) -> list[int]:
    """Run a command by an installed engine; ParameterError if unknown, or ClusterError."""
    added = ADDED_ENGINES.find(name)
    if added is None:
        known = ", ".join([LOCAL, RAY, "ray://HOST:PORT", *ADDED_ENGINES.names()])
        raise ParameterError(f"`engine` is {name!r}, expected one of: {known}")

    def fault(place: str, what: str) -> ClusterError:
        return ClusterError(f"{place} of the engine {name!r} {what}; fix the engine")

    with calling(added.value, fault, SavsError):
        codes: Any = added.value(command, arguments, say=say, tick=tick)
    if not isinstance(codes, list | tuple) or not all(isinstance(code, int) for code in codes):
        raise ClusterError(f"the engine {name!r} gives {codes!r:.80}, expected exit codes")
    return list(codes)
