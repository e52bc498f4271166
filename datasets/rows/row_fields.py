"""Fields that the files of one benchmark spell in several ways."""

from savs.datasets.rows.rows import Row


def label_of(row: Row, *names: str) -> str:
    """Return the label, which stands in one of several fields, byte for byte.

    Raises
    ------
    RowError
        None of the fields has a value, or two have different ones.
    """
    found = {name: row.text(name) for name in names if row.values.get(name) is not None}
    if not found:
        have = ", ".join(map(str, row.values)) or "none"
        raise row.error(
            f"no field {' or '.join(map(repr, names))} has a label",
            f"the row has the fields {have}",
        )
    if len(set(found.values())) > 1:
        told = " and ".join(f"{name!r} is {value!r}" for name, value in found.items())
        raise row.error(f"two fields have a label: {told}", f"keep {names[0]!r} alone")
    return next(iter(found.values()))


def medium_of(row: Row, name: str) -> str:
    """Return the name of the medium in a required field: a file's, or one in a Parquet file.

    Raises
    ------
    RowError
        The field is missing, null or empty.
    """
    return row.medium(name) or row.text(name)
