import pytest

from polytask.files import new_folder, write_atomic


def test_a_file_is_replaced_by_the_whole_new_one(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_atomic(path, "grün")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_takes_its_name_when_all_is_written(tmp_path):
    with new_folder(tmp_path / "m") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "m").exists()
    with new_folder(tmp_path / "m") as folder:
        (folder / "b").write_text("2")
        assert (tmp_path / "m" / "a").exists()
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def write_half(path, error):
    with new_folder(path) as folder:
        (folder / "a").write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_between_leaves_the_old_folder(tmp_path, error):
    with new_folder(tmp_path / "m") as folder:
        (folder / "a").write_text("1")
    with pytest.raises(error):
        write_half(tmp_path / "m", error)
    assert (tmp_path / "m" / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
