"""Where paths really lie: links are followed to what is read, and replaced by what is written."""

from pathlib import Path

from sepcli.separation.places import Places


def test_links_lead_to_what_is_read_and_are_replaced_by_what_is_written(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "a.wav").touch()
    (tmp_path / "way").symlink_to(folder)
    (other / "b.wav").symlink_to(tmp_path / "way" / "a.wav")
    places = Places()
    assert places.of_content(tmp_path / "way" / "a.wav") == (str(folder), "a.wav")
    assert places.of_content(other / "b.wav") == (str(folder), "a.wav")
    assert places.of_name(other / "b.wav") == (str(other), "b.wav")
    assert places.of_name(folder / ".." / "other" / "new.wav") == (str(other), "new.wav")


def test_a_folder_is_looked_up_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    places = Places()
    assert places.of_name(tmp_path / "way" / "a") == (str(tmp_path / "real"), "a")
    (tmp_path / "way").unlink()
    assert places.of_name(tmp_path / "way" / "b") == (str(tmp_path / "real"), "b")


def test_a_name_without_a_folder_lies_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Places().of_content(Path("a.wav")) == (str(tmp_path.resolve()), "a.wav")
