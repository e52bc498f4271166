import pytest

from savs.foundation.errors import ParameterError
from savs.pipeline.inputs.class_names import read_class_names, read_templates


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("n.txt", "cat\n\n dog \n", {"cat": "cat", "dog": "dog"}),
        ("n.json", '["cat", "dog"]', {"cat": "cat", "dog": "dog"}),
        ("n.json", '{"A": "a cat", "B": "a dog"}', {"A": "a cat", "B": "a dog"}),
    ],
    ids=["lines", "a list", "an object"],
)
def test_names_are_read(tmp_path, name, text, found) -> None:
    (tmp_path / name).write_text(text)
    assert read_class_names(tmp_path / name) == found


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n.txt", "cat\ncat\n", "has class 'cat' twice"),
        ("n.txt", "\n", "names no class"),
        ("n.json", "{", "is not JSON"),
        ("n.json", '{"cat": 3}', "class 'cat' has the name 3, expected text"),
        ("n.json", '"cat"', "holds str, expected a list"),
        ("n.json", '{"cat": "a", "cat": "b"}', "has class 'cat' twice"),
        ("n.json", "[" * 100_000, "is not JSON"),
        ("n.json", '["cat", " "]', "class ' ' has the name ' '"),
        ("n.json", "[3]", "class 3 has the name 3"),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path, name, text, message) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ParameterError, match=message):
        read_class_names(tmp_path / name)


def test_templates_have_the_mark(tmp_path) -> None:
    file = tmp_path / "t.txt"
    file.write_text("a {class}\n\na {class}\nthe {c}.\n")
    assert read_templates(file) == ("a {class}", "the {class}.")
    for text, message in (
        ("a {class}\na cat\n", r"t\.txt:2: .*has no \{class\}"),
        ("\n\na cat\n", r"t\.txt:3: .*has no"),
        ("", "no template"),
    ):
        file.write_text(text)
        with pytest.raises(ParameterError, match=message):
            read_templates(file)
    with pytest.raises(ParameterError, match="cannot be read: No such file"):
        read_templates(tmp_path / "absent")
