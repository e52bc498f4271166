"""Run the tests that attack savs, and print how many attacks of each class held.

    python scripts/attack_table.py [--deep] [CLASS ...]

A case of a test counts as one attack. Where a test tries several, it says how many it tried and
how many held, and those count. With `--deep` random attacks are drawn as often as `just fuzz`
draws them, and the kills of `just crash` are tried. A second table has the peak memory and the
seconds of each costly file, which a process of its own meets. The exit code is 1 where an attack
did not hold.
"""

import argparse
import base64
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parents[1] / "tests"
CLASSES = {
    "changed checkpoints": ["end_to_end/test_changed_checkpoint.py"],
    "planted code": ["end_to_end/test_planted_code.py", "end_to_end/test_planted_checkpoint.py"],
    "shared stores, clocks": ["stores/write", "pipeline/cluster/test_node.py"],
    "repairs": ["stores/maintain/test_repair.py"],
    "rewritten meanwhile": ["end_to_end/test_rewritten_meanwhile.py"],
    "kills and full disks": ["end_to_end/test_crash.py", "end_to_end/test_full_disk.py"],
    "damaged shards": ["stores/shard/test_fuzz.py"],
    "malformed rows": [
        "datasets/benchmarks/test_malformed_rows.py",
        "datasets/rows/test_mangled_files.py",
    ],
    "edited bundles": ["end_to_end/test_edited_bundle.py"],
    "edited results": ["end_to_end/test_results_of_one_evaluation.py"],
    "costly files": [
        "end_to_end/test_costly_files.py",
        "datasets/media/test_limits.py",
        "datasets/rows/test_row_sizes.py",
    ],
    "planted caches": ["foundation/test_file_digests.py"],
    "selections of other features": ["end_to_end/test_misplaced_selections.py"],
    "code of the user": [
        "end_to_end/test_own_code.py",
        "pipeline/extraction/model/test_user_code.py",
        "datasets/rows/test_plugin_guard.py",
    ],
    "text, hints": ["end_to_end/test_hints_and_refusals.py", "end_to_end/test_visible_text.py"],
    "queries": ["pipeline/evaluation/test_query.py", "end_to_end/test_query_reads_tables_only.py"],
    "pages of other sites": ["pipeline/classifying/bundle/test_guard.py"],
    "names, uploads, numbers": [
        "end_to_end/test_names_in_bytes.py",
        "end_to_end/test_upload.py",
        "pipeline/cli/options/test_settings.py",
    ],
}
SLOW = ("shared stores, clocks",)
"""Classes that take more than two minutes: only asked by name, or with `--deep`."""
DEEP = ["--hypothesis-profile=deep", "-m", ""]


@dataclass
class Count:
    """How many attacks of a class were tried, and how they ended."""

    tried: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


def run_class(paths: list[str], deep: bool) -> tuple[ElementTree.Element, str]:
    """Return what pytest reports about some tests, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}"]
            + ["-o", "junit_family=xunit1"]  # it has the properties of a test
            + (DEEP if deep else ["-m", "not slow"])
            + [str(TESTS / path) for path in paths],
            capture_output=True,
            text=True,
            cwd=TESTS.parent,
        )
        if not report.exists():
            sys.exit(done.stdout + done.stderr)
        return ElementTree.parse(report).getroot(), done.stdout


def drawn(report: ElementTree.Element) -> Iterator[tuple[int, int]]:
    """Yield how many random inputs passed and failed, of each test that draws them.

    Hypothesis tells it in properties of the whole report.
    """
    for fact in report.iter("property"):
        if (fact.get("name") or "").startswith("hypothesis-statistics-"):
            text = base64.b64decode(fact.get("value") or "").decode()
            for passed, failed in re.findall(r"(\d+) passing examples, (\d+) failing", text):
                yield int(passed), int(failed)


def count(report: ElementTree.Element) -> tuple[Count, list[tuple[str, str]]]:
    """Return the attacks of a report, and name and cost of each costly file."""
    attacks, costs = Count(), []
    for case in report.iter("testcase"):
        if case.find("skipped") is not None:
            attacks.skipped += 1
            continue
        facts = [(p.get("name"), p.get("value") or "") for p in case.iter("property")]
        numbers = {name: int(value) for name, value in facts if name in ("tried", "failed")}
        has_failed = case.find("failure") is not None or case.find("error") is not None
        attacks.tried += numbers.get("tried", 1)
        attacks.failed += max(numbers.get("failed", 0), has_failed)
        attacks.seconds += float(case.get("time", 0))
        costs += [(case.get("name") or "", value) for name, value in facts if name == "cost"]
    for passed, failed in drawn(report):
        attacks.tried += passed + failed - 1  # its test was counted as one
    return attacks, costs


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("classes", nargs="*", metavar="CLASS", help=", ".join(CLASSES))
    parser.add_argument("--deep", action="store_true", help="try as many as just fuzz and crash")
    options = parser.parse_args()
    if unknown := set(options.classes) - CLASSES.keys():
        parser.error(f"unknown class {sorted(unknown)[0]!r}; expected one of {', '.join(CLASSES)}")
    print("| class of attack | tried | held | failed | skipped | seconds |", flush=True)
    print("| --- | --- | --- | --- | --- | --- |")
    costs, has_failed = [], False
    classes = options.classes or [name for name in CLASSES if options.deep or name not in SLOW]
    for name in classes:
        report, printed = run_class(CLASSES[name], options.deep)
        attacks, own_costs = count(report)
        costs += own_costs
        counts = f"{attacks.tried:,} | {attacks.tried - attacks.failed:,} | {attacks.failed:,}"
        print(f"| {name} | {counts} | {attacks.skipped} | {attacks.seconds:.0f} |", flush=True)
        if attacks.failed or not attacks.tried:
            has_failed = True
            print(printed, file=sys.stderr)
    if costs:
        print("\n| costly file | met by | peak MB | seconds |\n| --- | --- | --- | --- |")
        for test, cost in costs:
            name = test.removeprefix("test_").replace("_", " ")
            print(f"| {name} | {' | '.join(cost.split())} |")
    sys.exit(has_failed)


if __name__ == "__main__":
    main()
