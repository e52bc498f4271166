"""Run the tests that attack savs, and print how many attacks of each class held.

    python scripts/attack_table.py [--deep] [CLASS ...]

With `--deep` random attacks are drawn as often as `just fuzz` draws them, and the kills of
`just crash` are tried. A test counts as one attack, however many random inputs it draws. A second
table has the peak memory and the seconds of each costly file. The exit code is 1 where an attack
did not hold.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parents[1] / "tests"
CLASSES = {
    "changed checkpoints": ["end_to_end/test_changed_checkpoint.py"],
    "planted code": ["end_to_end/test_planted_code.py", "end_to_end/test_planted_checkpoint.py"],
    "shared stores, clocks": ["stores/write", "pipeline/extraction/cluster/test_node.py"],
    "repairs": ["stores/maintain/test_repair.py"],
    "rewritten meanwhile": ["end_to_end/test_rewritten_meanwhile.py"],
    "kills and full disks": ["end_to_end/test_crash.py", "end_to_end/test_full_disk.py"],
    "damaged shards": ["stores/shard/test_fuzz.py"],
    "malformed rows": [
        "datasets/benchmarks/test_malformed_rows.py",
        "datasets/rows/test_mangled_files.py",
    ],
    "edited bundles, results": [
        "end_to_end/test_edited_bundle.py",
        "end_to_end/test_results_of_one_evaluation.py",
    ],
    "costly files": ["end_to_end/test_costly_files.py", "datasets/media/test_limits.py"],
    "queries": ["pipeline/evaluation/test_query.py", "end_to_end/test_query_reads_tables_only.py"],
    "names, uploads": ["end_to_end/test_names_in_bytes.py", "end_to_end/test_upload.py"],
}
DEEP = ["--hypothesis-profile=deep", "-m", ""]


def run_class(paths: list[str], deep: bool) -> tuple[ElementTree.Element, str]:
    """Return what pytest reports about some tests, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}"]
            + ["-o", "junit_family=xunit1"]  # it has the properties of a test
            + (DEEP if deep else [])
            + [str(TESTS / path) for path in paths],
            capture_output=True,
            text=True,
            cwd=TESTS.parent,
        )
        if not report.exists():
            sys.exit(done.stdout + done.stderr)
        return ElementTree.parse(report).getroot(), done.stdout


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("classes", nargs="*", metavar="CLASS", help=", ".join(CLASSES))
    parser.add_argument("--deep", action="store_true", help="try as many as just fuzz and crash")
    options = parser.parse_args()
    if unknown := set(options.classes) - CLASSES.keys():
        parser.error(f"unknown class {sorted(unknown)[0]!r}; expected one of {', '.join(CLASSES)}")
    print(f"{'class of attack':24} tried  held  failed  skipped  seconds", flush=True)
    costs, failed_in_all = [], 0
    for name in options.classes or CLASSES:
        report, printed = run_class(CLASSES[name], options.deep)
        cases = list(report.iter("testcase"))
        skipped = sum(case.find("skipped") is not None for case in cases)
        failed = sum(
            case.find("failure") is not None or case.find("error") is not None for case in cases
        )
        tried = len(cases) - skipped
        seconds = sum(float(case.get("time", 0)) for case in cases)
        counts = f"{tried:5} {tried - failed:5} {failed:7} {skipped:8}"
        print(f"{name:24} {counts} {seconds:8.0f}", flush=True)
        failed_in_all += failed or not tried
        if failed:
            print(printed, file=sys.stderr)
        for case in cases:
            facts = {p.get("name"): p.get("value") for p in case.iter("property")}
            if "peak_mb" in facts:
                costs.append((case.get("name"), facts["peak_mb"], facts["seconds"]))
    if costs:
        print(
            "\ncostly file                                                       peak MB  seconds"
        )
        for test, peak_mb, seconds in costs:
            print(f"{test.removeprefix('test_'):66.66} {peak_mb:>6} {seconds:>8}")
    sys.exit(failed_in_all > 0)


if __name__ == "__main__":
    main()
