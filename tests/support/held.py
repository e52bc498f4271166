"""An extraction that waits at a marked image until a test lets it go: no race with the machine."""

from pathlib import Path

SIZE = (90, 60)
"""Height and width of the image that holds the extraction."""
CODE = """
import multiprocessing, threading, time
from pathlib import Path
from savs.pipeline.prompts.chat import chat_inputs


def is_check():  # before the first shard, the main thread tries some examples
    main = threading.current_thread() is threading.main_thread()
    return main and not multiprocessing.parent_process()


def to_inputs(processor, prompts):
    held = any(pieces[0].size == (60, 90) for pieces in prompts) and not is_check()
    while held and not Path({go!r}).exists():
        time.sleep(0.01)
    return chat_inputs(processor, prompts)
"""


class Hold:
    """Model code that holds extractions, and the way to let them go."""

    def __init__(self, folder: Path) -> None:
        self._go = folder / "go"
        self.code = folder / "held.py"
        """File for `--model-code`."""
        self.code.write_text(CODE.format(go=str(self._go)))

    def let_go(self) -> None:
        """Let this extraction, and all later ones, go on."""
        self._go.touch()
