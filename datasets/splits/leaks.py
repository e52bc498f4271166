"""Leaks: test examples that repeat a training example, or share a medium with one.

Media are compared by content where their digests are known, else by name; prompts byte for byte. An
example without media is its prompt, unless that says nothing: it is empty, or training examples of
different labels have it. Such an example equals no other, and whether it leaks cannot be told.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from savs.datasets.example import first_few
from savs.datasets.splits.clusters import known_media, whole_media

REPEATED = "repeated"
"""Kind of leak: the same media in the same order and the same prompt as a training example."""
SHARED = "shared medium"
"""Kind of leak: a medium of a training example, under another prompt or with another box."""
NAMED = 3
"""Examples that a summary names."""
_HAS_MEDIA = pl.col("media").list.len() > 0


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the test split shares with the training split."""

    examples: pl.DataFrame
    """One row a test example, in order: `id`, `group`, `kind` (`REPEATED`, `SHARED` or null), and
    `shares`: whether it has a medium that training has."""
    trained: int
    """Number of training examples that the test split repeats."""
    train: int
    """Number of training examples."""
    untold: int = 0
    """Number of test examples without media and without a prompt of their own."""

    @property
    def kinds(self) -> pl.Series:
        """The kind of each test example's leak; null if it has none."""
        return self.examples["kind"]

    def __bool__(self) -> bool:
        return self.kinds.null_count() < len(self.kinds)

    def count(self, kind: str) -> int:
        """Return how many test examples leak in this way."""
        return int((self.kinds == kind).sum())

    def dropped(self) -> pl.Series:
        """Return which test examples leak, or share a group with one that does."""
        leaks = pl.col("kind").is_not_null()
        tainted = self.examples.filter(leaks)["group"].drop_nulls().unique()
        in_group = pl.col("group").is_in(tainted.implode()).fill_null(value=False)
        return self.examples.select(leaks | in_group).to_series()

    def summary(self) -> list[str]:
        """Return one line for each kind of leak that there is."""
        lines = []
        repeated = self.examples.filter(kind=REPEATED)
        if repeated.height:
            lines.append(
                f"leak: {self.trained} of {self.train} training examples"
                f" {'is' if self.trained == 1 else 'are'} also in the test split, as"
                f" {_test_examples(repeated.height)}{self._groups(repeated)}"
                f" ({first_few(repeated['id'], NAMED)})"
            )
        if self.count(SHARED):
            sharing = self.examples.filter("shares")
            lines.append(
                f"leak: {_test_examples(sharing.height)}"
                f" {'shares' if sharing.height == 1 else 'share'} a medium with a training example"
                f" ({first_few(sharing['id'], NAMED)})"
            )
        if self.untold:
            lines.append(
                f"leaks are unknown for {self.untold} of {_test_examples(self.examples.height)}:"
                " they have no media, and no prompt of their own"
            )
        return lines

    def _groups(self, repeated: pl.DataFrame) -> str:
        touched = set(repeated["group"].drop_nulls())
        others = self.examples.filter(pl.col("kind").ne_missing(pl.lit(REPEATED)))
        wholly = touched.difference(others["group"])
        groups = "1 group" if len(touched) == 1 else f"{len(touched)} groups"
        return f" in {groups}, {len(wholly)} completely" if touched else ""


def _test_examples(count: int) -> str:
    return f"{count} test example{'' if count == 1 else 's'}"


def find_leaks(train: pl.DataFrame, test: pl.DataFrame) -> Leaks:
    """Compare test examples with training examples.

    Parameters
    ----------
    train, test
        One row an example with `id`, `prompt`, `media` (list of names), `media_sha256` (list of
        digests, empty if they are unknown); for the training examples `label`, for the test
        examples `group`.
    """
    trained, tested = (split.with_columns(media=known_media()) for split in (train, test))
    wholes = trained.select(whole_media(pl.col("media"))).to_series()
    seen = wholes.explode().drop_nulls().unique()
    in_training = pl.element().is_in(seen.implode())
    tested = tested.select(
        *("id", "group", "prompt", "media"),
        shares=whole_media(pl.col("media")).list.eval(in_training).list.any(),
    ).with_row_index("row")
    # A repeated example has media and prompt of a training example, so it shares media: only the
    # sharing ones become Python keys, which at a million examples take most of the memory.
    sharing = _keys(tested.filter("shares"))
    pictured = _keys(trained.filter(_HAS_MEDIA))
    train_keys = set(pictured)
    repeats_media = pl.Series([key in train_keys for key in sharing], dtype=pl.Boolean)
    again = tested.filter("shares")["row"].filter(repeats_media)

    # Without media the prompt is the content, but a prompt that trains several labels asks about
    # something that the row does not hold: equal prompts are then no sign of equal examples.
    bare = trained.filter(~_HAS_MEDIA)
    silent = _silent_prompts(bare["prompt"], bare["label"])
    identifying = bare["prompt"].filter(~bare["prompt"].is_in(list(silent)))
    alone = tested.filter(~_HAS_MEDIA)
    repeats = alone.filter(pl.col("prompt").is_in(identifying.implode()))

    repeated = pl.col("row").is_in(pl.concat([again, repeats["row"]]).implode())
    test_keys = set(sharing)
    return Leaks(
        examples=tested.select(
            *("id", "group", "shares"),
            kind=pl.when(repeated).then(pl.lit(REPEATED)).when("shares").then(pl.lit(SHARED)),
        ),
        trained=sum(key in test_keys for key in pictured)
        + int(identifying.is_in(repeats["prompt"].implode()).sum()),
        train=train.height,
        untold=int(alone["prompt"].is_in(list(silent)).sum()),
    )


def _silent_prompts(prompts: Iterable[str], labels: Iterable[str]) -> set[str]:
    """Return prompts that tell nothing of an example without media."""
    first: dict[str, str] = {}
    silent = {""}
    for prompt, label in zip(prompts, labels, strict=True):
        if first.setdefault(prompt, label) != label:
            silent.add(prompt)
    return silent


def _keys(examples: pl.DataFrame) -> list[tuple[tuple[str, ...], str]]:
    return [(tuple(media), text) for media, text in examples.select("media", "prompt").iter_rows()]
