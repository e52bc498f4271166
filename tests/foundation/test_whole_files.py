import os
import socket

from savs.foundation import whole_files
from savs.foundation.whole_files import whole_file


def test_writers_of_one_process_number_on_two_hosts_do_not_meet(tmp_path, monkeypatch) -> None:
    path = tmp_path / "store.json"
    monkeypatch.setattr(os, "getpid", lambda: 7)  # as in two containers
    with whole_file(path) as first:
        first.write_text("first")
        monkeypatch.setattr(socket, "gethostname", lambda: "node-2.cluster/x")
        with whole_file(path) as second:
            second.write_text("second")
            assert first.exists()
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert second.name.startswith("store.json.node_2_cluster_x-7-")
    assert [file.name for file in tmp_path.iterdir()] == ["store.json"]


def test_no_two_partial_names_are_equal_even_on_hosts_of_one_name(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    names = set()
    for _ in range(50):
        with whole_file(tmp_path / "x") as partial:
            names.add(partial.name)
            partial.touch()
    assert len(names) == 50
    assert {name.rpartition("-")[0] for name in names} == {"x.localhost-7"}


def test_a_file_in_a_folder_that_cannot_be_opened_is_published(tmp_path, monkeypatch) -> None:
    durable = whole_files.make_durable

    def refused(path):
        if path == tmp_path:
            raise PermissionError(13, "Permission denied")
        durable(path)

    monkeypatch.setattr(whole_files, "make_durable", refused)
    with whole_file(tmp_path / "x") as partial:
        partial.write_text("content")
    assert (tmp_path / "x").read_text() == "content"
