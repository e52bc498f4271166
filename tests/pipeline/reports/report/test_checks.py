"""Leaks, skips and groups on the page, from results without a store."""

from reported import Page
from small_results import save_result

from savs.pipeline import report
from savs.pipeline.reports.report.headline import GroupCount


def test_skips_leaks_and_groups_are_told(tmp_path):
    folder = save_result(
        tmp_path / "vote",
        [1, 0, None, 1, 0, 1, 1, 1],
        group=["g1", "g1", "g2", "g2", "g3", "g3", "g4", "g5"],
        leak=["repeated", *[None] * 4, "shared medium", None, None],
    )
    content = report(folder, out=tmp_path / "p.html")
    # g1, g2 and g3 have one right example of two each; g4 and g5 have one example
    assert content.groups == (GroupCount(size=2, right=1, groups=3, share=1.0),)
    assert content.checks.leaks == {"repeated": ["test:0"], "shared medium": ["test:5"]}
    assert [name for name, _ in content.checks.reasons] == ["test:2"]
    page = Page(tmp_path / "p.html")
    assert page.table("Groups").rows == [["1 of 2", "", "3", "100.0"]]
    assert "Test examples that training has seen (repeated): 1" in page.text
    assert "Skipped examples: 1" in page.text
    assert "8 examples planned, 7 scored, 1 skipped" in page.text
    (matrix,) = (table for table in page.tables if table.caption.startswith("Rows: label"))
    assert matrix.header[-1] == "(skipped)"
    assert [row[-1] for row in matrix.rows] == ["1", "0"]  # a is skipped once


def test_a_page_without_leaks_says_that_none_was_found(tmp_path):
    report(save_result(tmp_path / "vote", [1, 0, 1, 1]), out=tmp_path / "p.html")
    text = Page(tmp_path / "p.html").text
    assert "No test example was found in training." in text
    assert "Groups" not in text
