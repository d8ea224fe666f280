"""Files appear whole or not at all."""

import os
import resource
from pathlib import Path

import pytest

from gradscope.errors import OutputError
from gradscope.report.files import require_free, write_whole


def test_a_file_is_written_with_exactly_its_content(tmp_path: Path) -> None:
    place = tmp_path / "name with [brackets] and\nnewline"

    write_whole(place, b"\0content\n", force=False)

    assert place.read_bytes() == b"\0content\n"
    assert list(tmp_path.iterdir()) == [place]


def test_the_file_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("x")

    write_whole(tmp_path / "ours", b"x", force=False)

    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_an_existing_file_is_refused_or_replaced(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"mine")

    with pytest.raises(OutputError, match="already exists; choose another name, or --force"):
        write_whole(place, b"theirs", force=False)
    assert place.read_bytes() == b"mine"

    write_whole(place, b"theirs", force=True)
    assert place.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("name", "words"),
    [(".", "is a folder"), ("none/a", "is not a folder"), ("file/a", "is not a folder")],
)
def test_impossible_places_are_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(OutputError, match=words):
        require_free(tmp_path / name, force=True)


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"mine")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written: File too large"):
            write_whole(place, bytes(1000), force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert place.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [place]


def test_an_interrupt_while_writing_leaves_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", b"x", force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_to_in_place() -> None:
    write_whole(Path(os.devnull), b"x", force=False)

    assert not Path(os.devnull).is_file()


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")

    write_whole(tmp_path / "link", b"new", force=True)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
