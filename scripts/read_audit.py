"""Say what pip-audit found. Packages that could not be looked up are no good news.

    python scripts/read_audit.py build/audit/found.json

Exit code 1: a package has a known vulnerability, or none could be looked up.
"""

import json
import sys
from pathlib import Path


def main() -> int:
    """Return the exit code."""
    packages = json.loads(Path(sys.argv[1]).read_text("utf-8"))["dependencies"]
    looked_up = [package for package in packages if "skip_reason" not in package]
    names = [package["name"] for package in packages if "skip_reason" in package]
    if not looked_up:
        print(
            f"error: none of {len(names)} packages could be looked up, so nothing is known; is the"
            " list of vulnerabilities of the package index reached?",
            file=sys.stderr,
        )
        return 1
    for package in looked_up:
        for problem in package["vulns"]:
            fixed = ", ".join(problem["fix_versions"]) or "no version"
            print(f"{package['name']} {package['version']}: {problem['id']}, mended in {fixed}")
    bad = sum(bool(package["vulns"]) for package in looked_up)
    print(f"{len(looked_up)} packages were looked up, {bad} have known vulnerabilities")
    if names:
        print(f"not looked up: {', '.join(names)}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
