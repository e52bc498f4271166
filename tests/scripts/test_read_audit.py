"""What `scripts/audit` says of the vulnerabilities that pip-audit found."""

import json
import sys

import pytest
import read_audit

GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "own", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([GOOD], 0, "1 packages were looked up, 0 have known vulnerabilities\n"),
        ([GOOD, SKIPPED], 0, "not looked up: own\n"),
        ([GOOD, BAD], 1, "bad 2: PYSEC-1, mended in 2.1\n"),
        ([SKIPPED, SKIPPED], 1, "error: none of 2 packages could be looked up"),
    ],
)
def test_findings(tmp_path, monkeypatch, capsys, packages, code, said):
    file = tmp_path / "found.json"
    file.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    monkeypatch.setattr(sys, "argv", ["read_audit.py", str(file)])
    assert read_audit.main() == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
