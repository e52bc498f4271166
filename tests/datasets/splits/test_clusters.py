from itertools import combinations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs.datasets import Example
from savs.datasets.media.media import MediaFolder
from savs.datasets.splits.clusters import cluster_ids, clusters_of
from savs.datasets.splits.shared_media import content_ties, recurring_digests

TIES = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=3), max_size=14)


def merged_until_nothing_changes(ties: list[list[str]]) -> list[str]:
    """Name each example after the first of its cluster, by merging any two sets that touch."""
    clusters = [({place}, set(names)) for place, names in enumerate(ties)]
    while True:
        touching = [(a, b) for a, b in combinations(clusters, 2) if a[1] & b[1]]
        if not touching:
            break
        a, b = touching[0]
        clusters = [c for c in clusters if c is not a and c is not b]
        clusters.append((a[0] | b[0], a[1] | b[1]))
    return [str(min(next(c[0] for c in clusters if place in c[0]))) for place in range(len(ties))]


@given(TIES)
def test_clusters_are_those_of_repeated_merging(ties: list[list[str]]) -> None:
    read_once = [iter(names) for names in ties]
    assert cluster_ids(read_once) == merged_until_nothing_changes(ties)


@pytest.mark.parametrize("step", [1, -1], ids=["forwards", "backwards"])
def test_a_long_chain_is_one_cluster(step: int) -> None:
    chain = [[f"{n}", f"{n + 1}"] for n in range(5000)][::step]
    assert set(cluster_ids(chain)) == {"0"}


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "g", "h", "a"]),
        st.lists(st.sampled_from("abcde"), max_size=3),
        st.lists(st.sampled_from("12345"), max_size=3),
    ),
    max_size=12,
)


@pytest.mark.thorough
@given(ROWS)
def test_the_clusters_of_a_table_are_those_of_its_groups_and_media(rows) -> None:
    schema = {
        "group": pl.String,
        "media": pl.List(pl.String),
        "media_sha256": pl.List(pl.String),
    }
    table = pl.DataFrame(rows, schema=schema, orient="row")
    ties = [
        ([] if group is None else [f"group {group}"]) + (hashes or names)
        for group, names, hashes in rows
    ]
    assert clusters_of(table).to_list() == cluster_ids(ties)


def test_a_medium_with_the_name_of_a_group_is_not_in_it() -> None:
    schema = {"group": pl.String} | dict.fromkeys(("media", "media_sha256"), pl.List(pl.String))
    rows = [("1.jpg", ["a.jpg"], []), (None, ["group 1.jpg"], [])]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    assert clusters_of(table).to_list() == ["0", "1"]


def test_boxes_of_an_image_are_one_cluster_by_content_or_by_name() -> None:
    schema = {"group": pl.String} | dict.fromkeys(("media", "media_sha256"), pl.List(pl.String))
    rows = [
        (None, ["a.jpg#box=[0,0,9,9]"], ["e1#box=[0,0,9,9]"]),
        (None, ["b.jpg"], ["e1"]),  # a copy of the whole image
        (None, ["b.jpg#box=[1,1,9,9]"], []),  # its content is not known
        (None, ["b.jpg#box=[2,1,9,9]"], []),
        (None, ["c.jpg#box=[0,0,9,9]"], ["e2#box=[0,0,9,9]"]),
    ]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    assert clusters_of(table).to_list() == ["0", "0", "2", "2", "4"]
    examples = [Example(str(n), "test", n, "x", "?", media) for n, (_, media, _) in enumerate(rows)]
    ties = content_ties(examples, {"a.jpg#box=[0,0,9,9]": "e1#box=[0,0,9,9]", "b.jpg": "e1"})
    assert cluster_ids(ties) == ["0", "0", "2", "2", "4"]


def test_boxes_of_copies_of_an_image_are_one_cluster(tmp_path) -> None:
    for name, data in (
        ("a.jpg", b"same"),
        ("b.jpg", b"same"),
        ("c.jpg", b"else"),
        ("d", b"longer"),
    ):
        (tmp_path / name).write_bytes(data)
    names = ("a.jpg#box=[0,0,9,9]", "b.jpg#box=[1,1,9,9]", "c.jpg", "d")
    examples = [Example(str(n), "test", n, "x", "?", (name,)) for n, name in enumerate(names)]
    digests = recurring_digests(examples, MediaFolder(tmp_path))
    assert [*digests] == [*names[:3]]  # no other file has the size of the last
    assert cluster_ids(content_ties(examples, digests)) == ["0", "0", "2", "3"]
