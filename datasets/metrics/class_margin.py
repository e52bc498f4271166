"""The margin of one class over the others, which metrics of ranks and pairs compare."""

import polars as pl


def class_margin(name: str) -> pl.Expr:
    """Return the soft score of a class minus the best soft score of another one.

    It is an expression over the predictions' column `votes`, null for a skipped example.

    Examples
    --------
    >>> votes = [{"class": "No", "soft": 0.75}, {"class": "Yes", "soft": 0.25}]
    >>> pl.DataFrame({"votes": [votes]}).select(class_margin("Yes")).item()
    -0.5
    """
    is_class = pl.element().struct.field("class") == name
    return _soft(is_class) - _soft(~is_class)


def _soft(which: pl.Expr) -> pl.Expr:
    """Return the greatest soft score of the classes that an expression over `votes` picks."""
    return pl.col("votes").list.eval(pl.element().struct.field("soft").filter(which)).list.max()
