from savs.foundation import whole_files
from savs.pipeline.running.output_files import output_files


def test_an_old_file_stays_until_the_new_one_has_its_name(tmp_path, monkeypatch) -> None:
    page, publish, seen = tmp_path / "page.html", whole_files.publish, []
    page.write_text("old")

    def look(partial, path, *, replace):
        seen.append(path.read_text())
        publish(partial, path, replace=replace)

    monkeypatch.setattr(whole_files, "publish", look)
    with output_files({"--out": page}, force=True) as files:
        files["--out"].write_text("new")
    assert seen == ["old"]
    assert page.read_text() == "new"
