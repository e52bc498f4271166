"""Tables in Markdown, LaTeX and CSV."""

import io

import polars as pl
import pytest

from savs.pipeline.evaluation.compare.compare import METHOD_SCHEMA
from savs.pipeline.evaluation.tables import methods_table
from savs.pipeline.running.table import FORMS

ROWS = [
    {"method": "zero-shot", "model": "A_7|B", "value": 0.5, "low": 0.4, "high": 0.6}
    | {"forwards": 1200, "seconds": 61.26, "bytes": 3_686_400},
    {"method": "SAVs (vote), 20 heads", "model": "A_7|B", "value": 0.75, "difference": 0.25}
    | {"difference_low": 0.1, "difference_high": 0.4, "p": 0.00001, "p_holm": 0.00002},
]
COMMON = {"benchmark": "general", "metric": "accuracy", "units": 100}


def table(*changes):
    rows = [COMMON | {"result": str(n)} | row for n, row in enumerate(ROWS)]
    for row, change in zip(rows, changes, strict=False):
        row.update(change)
    return pl.DataFrame(rows, schema=METHOD_SCHEMA)


def text(form, *changes):
    return FORMS[form](methods_table(table(*changes)))


def test_markdown():
    assert text("markdown").splitlines() == [
        "| method | model | accuracy (%) | 95 % interval | difference | its 95 % interval |"
        " p (Holm) | forwards | seconds | bytes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        r"| zero-shot | A_7\|B | 50.0 | 40.0 .. 60.0 | - | - | - | 1,200 | 61.3 | 3.69 MB |",
        r"| SAVs (vote), 20 heads | A_7\|B | 75.0 | - | +25.0 | +10.0 .. +40.0 | < 0.0001"
        " | - | - | - |",
    ]


def test_latex_escapes_what_it_would_obey():
    lines = text("latex", {"model": r"a\b_{c}&50% $x$ #~^`"}).splitlines()
    assert lines[0] == r"\begin{tabular}{llrrrrrrrr}"
    assert lines[1:5:2] == [r"\toprule", r"\midrule"]
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert lines[4].startswith(
        r"zero-shot & a\textbackslash{}b\_\{c\}\&50\% \$x\$ \#\textasciitilde{}"
        r"\textasciicircum{}\textasciigrave{} & 50.0 & 40.0 to 60.0 & - &"
    )
    assert all(line.endswith(r" \\") for line in lines[2:3] + lines[4:6])


def test_latex_sets_signs_as_they_are_meant():
    # in the default encoding of fonts, < is an inverted exclamation mark and - a hyphen
    lost = {"difference": -0.25, "difference_low": -0.4, "difference_high": -0.1}
    lines = text("latex", {}, {"model": "A-7-1|B"} | lost).splitlines()
    assert lines[5] == (
        r"SAVs (vote), 20 heads & A-7-1\textbar{}B & 75.0 & - & $-$25.0 & $-$40.0 to $-$10.0 &"
        r" \textless{} 0.0001 & - & - & - \\"
    )


def test_csv_has_every_column_and_no_rounding():
    back = pl.read_csv(io.StringIO(text("csv")), schema=METHOD_SCHEMA)
    assert back.equals(table())


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ([{}, {"benchmark": "blink"}], "| benchmark | method | model | accuracy (%) |"),
        ([{}, {"method": "zero-shot"}], "| result | method | model | accuracy (%) |"),
        ([{}, {"metric": "G-Acc"}], "| method | model | metric | value (%) |"),
    ],
    ids=["benchmarks", "equal rows", "metrics"],
)
def test_columns_are_shown_where_they_tell_rows_apart(changes, first):
    assert text("markdown", *changes).startswith(first)
