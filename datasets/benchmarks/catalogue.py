"""All benchmarks by name: those of savs, and those that installed packages add."""

import difflib
import json
from pathlib import Path

from savs.datasets.benchmark import Benchmark
from savs.datasets.benchmarks.asvspoof_la import ASVSPOOF_LA
from savs.datasets.benchmarks.audioset import AUDIOSET
from savs.datasets.benchmarks.blink import BLINK
from savs.datasets.benchmarks.camerabench import CAMERABENCH
from savs.datasets.benchmarks.class_folders import FOLDERS
from savs.datasets.benchmarks.esc50 import ESC50
from savs.datasets.benchmarks.eurosat_pets import EUROSAT, PETS
from savs.datasets.benchmarks.general import GENERAL
from savs.datasets.benchmarks.mhalubench import MHALUBENCH
from savs.datasets.benchmarks.mmvp import MMVP
from savs.datasets.benchmarks.multimodal_rewardbench import MULTIMODAL_REWARDBENCH
from savs.datasets.benchmarks.naturalbench import NATURALBENCH
from savs.datasets.benchmarks.naturalbench_retrieval import NATURALBENCH_RETRIEVAL
from savs.datasets.benchmarks.shapes import SHAPES
from savs.datasets.benchmarks.sugarcrepe import SUGARCREPE
from savs.datasets.benchmarks.ucf_crime import UCF_CRIME
from savs.datasets.benchmarks.vggsound import VGGSOUND, VGGSOUND_VIDEO
from savs.datasets.benchmarks.vizwiz import VIZWIZ
from savs.datasets.benchmarks.vlguard import VLGUARD
from savs.datasets.benchmarks.winoground import WINOGROUND
from savs.datasets.benchmarks.xd_violence import XD_VIOLENCE
from savs.datasets.errors import BenchmarkNotFoundError
from savs.foundation.installed import Additions

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        GENERAL,
        SHAPES,
        NATURALBENCH,
        NATURALBENCH_RETRIEVAL,
        BLINK,
        SUGARCREPE,
        WINOGROUND,
        MMVP,
        VLGUARD,
        MHALUBENCH,
        VIZWIZ,
        EUROSAT,
        PETS,
        CAMERABENCH,
        UCF_CRIME,
        XD_VIOLENCE,
        MULTIMODAL_REWARDBENCH,
        ESC50,
        VGGSOUND,
        VGGSOUND_VIDEO,
        AUDIOSET,
        ASVSPOOF_LA,
        *FOLDERS.values(),
    )
}
"""Name -> benchmark, in the order in which `savs benchmarks` lists them."""


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark with a name or alias, built in or of an installed package.

    Raises
    ------
    BenchmarkNotFoundError
        No benchmark has it; the message lists the known names.

    Examples
    --------
    >>> find_benchmark("general").summary
    'your own images or sounds, questions and labels'
    """
    for benchmark in BENCHMARKS.values():
        if name in (benchmark.name, *benchmark.aliases):
            return benchmark
    if (added := ADDED_BENCHMARKS.find(name)) is not None:
        return added.value
    known = [*BENCHMARKS, *ADDED_BENCHMARKS.names()]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    is_folder = Path(name).is_dir()
    folder = f". For a folder of photos: image-folder --test {name}" if is_folder else ""
    raise BenchmarkNotFoundError(
        f"no benchmark is called {name!r}{hint}; expected one of: {', '.join(known)}, or the path"
        f" of a Python file that defines BENCHMARK{folder}"
    )


def known_names() -> set[str]:
    """Return the names and aliases of the built-in benchmarks."""
    return {name for b in BENCHMARKS.values() for name in (b.name, *b.aliases)}


def benchmark_problem(value: object) -> str | None:
    """Return why a value is not a benchmark with a free name, or None if it is one."""
    if not isinstance(value, Benchmark):
        return f"is a {type(value).__name__}, expected a savs.datasets.Benchmark"
    taken = known_names()
    for name in (value.name, *value.aliases):
        if not isinstance(name, str) or not name or name.endswith(".py"):
            return f"has the name {name!r}, expected text that does not end in .py"
        if name in taken:
            return f"has the name {name!r}, which is taken; choose another"
    try:
        json.dumps(dict(value.options))
    except (TypeError, ValueError) as error:
        return f"has options that JSON cannot hold ({error}); a store keeps them as JSON"
    return None


ADDED_BENCHMARKS: Additions[Benchmark] = Additions(
    "savs.benchmarks", benchmark_problem, known_names, BenchmarkNotFoundError
)
"""Benchmarks of installed packages."""
