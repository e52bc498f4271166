import re


def test_the_version_is_printed_and_nothing_else(savs) -> None:
    done = savs("--version")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_no_option_of_a_command(savs) -> None:
    done = savs("show", "--version")
    assert done.returncode == 2
    assert "No such option" in done.stderr
