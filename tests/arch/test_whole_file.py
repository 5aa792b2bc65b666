"""Result files are whole or absent."""

import os

import pytest

from arch import whole_file
from arch.errors import InputError
from arch.whole_file import check_directory, make_directory, write_whole


def test_text_and_bytes_are_written_into_new_directories(tmp_path):
    write_whole(tmp_path / "a" / "b.txt", "naïve")
    write_whole(tmp_path / "a" / "c.bin", b"\x00\x01")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "naïve".encode()
    assert (tmp_path / "a" / "c.bin").read_bytes() == b"\x00\x01"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b.txt", "c.bin"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "report.html", "old")

    def full_disk(handle: int, mode: str):
        os.close(handle)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fdopen", full_disk)
    with pytest.raises(InputError) as refused:
        write_whole(path, "new")
    assert str(refused.value) == f"the output file must be writable, not {str(path)!r} (No space left on device)"
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_directory_that_cannot_be_written_is_refused_in_one_sentence(tmp_path):
    blocked = write_whole(tmp_path / "file", "x") / "below"
    with pytest.raises(InputError) as refused:
        make_directory(blocked)
    assert str(refused.value) == f"the output directory must be writable, not {str(blocked)!r} (Not a directory)"


def test_files_get_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    written = write_whole(tmp_path / "written", "x")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_directory_is_checked_without_being_made(tmp_path):
    assert check_directory(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    blocked = write_whole(tmp_path / "file", "x") / "below"
    with pytest.raises(InputError) as refused:
        check_directory(blocked)
    assert str(refused.value) == f"the output directory must be writable, not {str(blocked)!r} (Not a directory)"
