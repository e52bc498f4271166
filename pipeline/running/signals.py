"""Ctrl-C and SIGTERM as KeyboardInterrupt that cannot get lost.

Python drops a KeyboardInterrupt that is raised inside a destructor or a weak reference's callback,
and the program would continue. So a flag is set as well, which long loops check. Nor is it raised
while a task is given to a pool of threads: a lock could stay taken, for which the pool would wait
for ever.
"""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

_interrupted = False
_explained = False


def listen() -> None:
    """Let Ctrl-C and SIGTERM interrupt this process; forget earlier interruptions."""
    global _interrupted, _explained
    _interrupted = _explained = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    sys.excepthook, threading.excepthook = _say_of_main, _say_of_threads
    while frame is not None:
        if frame.f_code.co_qualname == "ThreadPoolExecutor.submit":
            _thread.start_new_thread(_send_again, (number,))  # as it takes no lock of `threading`
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _send_again(number: int) -> None:
    time.sleep(0.05)
    if not _explained:  # by the flag the interruption may be over: then the process ends
        os.kill(os.getpid(), number)


def _say_of_main(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Leave out what `multiprocessing` says of workers that were interrupted, too."""
    if not _interrupted or threading.current_thread() is threading.main_thread():
        sys.__excepthook__(kind, error, trace)


def _say_of_threads(args: threading.ExceptHookArgs) -> None:
    """Leave out that the work of other threads was interrupted, too."""
    if not (_interrupted and issubclass(args.exc_type, KeyboardInterrupt)):
        threading.__excepthook__(args)


def explain(say: Callable[[str], None], text: str) -> None:
    """Print what an interruption left; the command then prints nothing more."""
    global _explained
    _explained = True
    say(f"interrupted: {text}")


def is_explained() -> bool:
    """Return whether `explain` was called."""
    return _explained


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal came but its exception got lost."""
    if _interrupted:
        raise KeyboardInterrupt
