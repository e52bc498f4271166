"""Tables in Markdown, LaTeX and CSV."""

import io

import polars as pl
import pytest

from savs.pipeline.evaluation.compare.compare import METHOD_SCHEMA
from savs.pipeline.evaluation.tables import methods_table
from savs.pipeline.running.formatting import interval
from savs.pipeline.running.table import FORMS, Column, Table

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


def test_a_terminal_sets_texts_to_the_left_and_shows_what_it_would_obey():
    columns = [
        Column("name", "name"),
        Column("count", "count"),
        Column("ends", ("low", "high"), interval),
        Column("note", "note", is_text=True),
    ]
    rows = {"name": ["a\x1b[2J", "b\x9b"], "count": [1200, None], "low": [0.25, None]}
    frame = pl.DataFrame(rows | {"high": [1.0, None], "note": ["x", "longer"]})
    assert Table(frame, columns, title="two rows").text().splitlines() == [
        "two rows",
        "name      count           ends  note",
        r"a\x1b[2J  1,200  25.0 .. 100.0  x",
        r"b\x9b         -              -  longer",
    ]


def test_cells_are_a_table_whose_first_column_is_set_to_the_left():
    table = Table.of_cells(["file", "bytes"], [["a.h5", 1200], ["long.h5", None]])
    assert table.text().splitlines() == ["file     bytes", "a.h5     1,200", "long.h5      -"]
    texts = Table.of_cells(["file", "what"], [["a", "gone"]], are_texts=True)
    assert texts.text().splitlines() == ["file  what", "a     gone"]
    assert texts.markdown(lambda cell: f"`{cell}`").splitlines()[2] == "| `a` | `gone` |"


def test_a_name_that_is_no_utf8_is_a_cell() -> None:
    table = Table.of_cells(["file", "problem"], [["odd\udcff.h5", "foreign"]])
    assert table.text().splitlines()[1].split() == ["odd\\udcff.h5", "foreign"]
