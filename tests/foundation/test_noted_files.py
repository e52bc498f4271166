"""What a block wrote is taken back, and nothing else."""

from savs.foundation.noted_files import noted_files, remove_noted
from savs.foundation.whole_files import whole_file


def write(path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text)


def test_a_block_takes_back_what_it_and_blocks_in_it_wrote(tmp_path) -> None:
    before, own, inner, taken = (tmp_path / name for name in ("before", "own", "inner", "taken"))
    write(before, "before")
    with noted_files() as written:
        write(own, "own")
        with noted_files():
            write(inner, "inner")
        write(taken, "ours")
    write(taken, "of another")
    remove_noted(written)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "before": "before",
        "taken": "of another",
    }
