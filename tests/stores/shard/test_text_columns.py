from zlib import crc32

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shard_files import index_start, rewrite

from savs.stores import StoreCorruptError, StoreError, open_store, open_writer
from savs.stores.format.layout import EXAMPLE_COLUMNS
from savs.stores.maintain.verify import verify
from savs.stores.shard.content import column_type, decode_column, encode_column

SCRIPTS = ["", "ok", "Žluťoučký", "数据", "עברית", "क्षि", "👩🏽‍🚀"]
SCRIPTS += ["a\r\nb\n", "\0", "a\0b\0", "\ufeff", "\u2028"]
TEXTS = st.text(max_size=9) | st.sampled_from(SCRIPTS)
KINDS = {
    "index": st.integers(-(2**63), 2**63 - 1),
    "id": TEXTS,
    "label": st.none() | TEXTS,
    "media": st.lists(TEXTS, max_size=3),
    "thumbnail": st.none() | st.binary(max_size=9),
    "reason": TEXTS,
}


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(KINDS)).flatmap(lambda n: st.tuples(st.just(n), st.lists(KINDS[n]))))
@example(("id", SCRIPTS))
@example(("label", [None, "", *SCRIPTS]))
@example(("media", [[], SCRIPTS]))
@example(("thumbnail", [b"text", b"\xff\xd8\xff\x00", None, b""]))
def test_a_column_comes_back_as_written(column: tuple[str, list]) -> None:
    name, values = column
    stored = encode_column(name, values)
    assert stored.dtype == np.uint8
    found = decode_column(name, stored, len(values))
    assert (found.name, found.dtype, found.to_list()) == (name, column_type(name), values)


WRONG = {
    "no JSON": ("label", "[", "truncated"),
    "no list": ("label", "{}", "Expected `array`, got `object`"),
    "too long": ("label", '["a","b","c"]', "expected a JSON list of 2 values, got 3"),
    "a number": ("label", '["a",1]', r"got `int` - at `\$\[1\]`"),
    "a list": ("prompt", '["a",["b"]]', r"Expected `str`, got `array` - at `\$\[1\]`"),
    "no id": ("id", '["a",null]', r"Expected `str`, got `null` - at `\$\[1\]`"),
    "no prompt": ("prompt", '[null,"b"]', r"Expected `str`, got `null` - at `\$\[0\]`"),
    "media as text": ("media", '["a.png",[]]', "Expected `array`, got `str`"),
    "media with null": ("media", '[["a.png",null],[]]', r"got `null` - at `\$\[0\]\[1\]`"),
    "an index of text": ("index", '[0,"1"]', r"Expected `int`, got `str` - at `\$\[1\]`"),
    "too deep": ("extra", "[" * 3_000, "Expected `str`, got `array`"),
}


@pytest.mark.thorough
@pytest.mark.parametrize(("column", "text", "reason"), WRONG.values(), ids=WRONG.keys())
def test_bad_content_with_a_valid_checksum_is_refused_and_found(
    tmp_path, toy, column, text, reason
) -> None:
    toy.write(tmp_path, only=1)
    path, data = tmp_path / "train-00000.h5", text.encode()
    whole = path.read_bytes()
    start = index_start(whole)
    path.write_bytes(whole[:start] + data + whole[start:])
    entry = [start, "|u1", [len(data)], f"{crc32(data):08x}"]
    rewrite(path, lambda table: table["arrays"].update({f"examples/{column}": entry}))
    with pytest.raises(StoreCorruptError, match=rf"examples/{column} is damaged: .*{reason}"):
        open_store(tmp_path, partial=True).examples("train")
    assert "damaged" in [problem.kind for problem in verify(tmp_path).problems]


@pytest.mark.parametrize("name", [*EXAMPLE_COLUMNS, "reason"])
def test_a_missing_column_is_refused_by_name(tmp_path, toy, name) -> None:
    toy.skip = {"train": {0: "why"}}
    toy.write(tmp_path)
    group = "skipped" if name == "reason" else "examples"
    rewrite(tmp_path / "train-00000.h5", lambda table: table["arrays"].pop(f"{group}/{name}"))
    with pytest.raises(StoreCorruptError, match=rf"{group}/{name} is missing"):
        open_store(tmp_path).skipped("train") if group == "skipped" else open_store(
            tmp_path
        ).examples("train")


def test_a_column_that_format_1_has_not_is_refused(tmp_path, toy) -> None:
    toy.write(tmp_path)

    def rename(table) -> None:
        table["arrays"]["examples/labels"] = table["arrays"].pop("examples/label")

    rewrite(tmp_path / "train-00000.h5", rename)
    with pytest.raises(StoreCorruptError, match="has 'labels', which is not a column of format 1"):
        open_store(tmp_path).examples("train")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("label", 3), ("prompt", None), ("media", "a.png"), ("media", [None])),
        *(("index", "0"), ("thumbnail", "text"), ("label", "\ud800")),
    ],
)
def test_a_value_of_another_type_is_refused_before_anything_is_written(
    tmp_path, toy, column, value
) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[0]
        content = toy.content(spec)
        examples = dict(content.examples)
        examples[column] = [value, examples.get(column, [None, b"x"])[1]]
        with pytest.raises(StoreError, match=rf"train-00000\.h5: .*{column}"):
            writer.write(spec, type(content)(content.layers, examples, content.skipped, {}))
    assert not list(tmp_path.glob("*.h5*"))
