"""A folder that takes another one's place."""

from pathlib import Path

import pytest

from hopflow.storage import folders

pytestmark = pytest.mark.cpu_only


def made(path, text):
    path.mkdir()
    (path / "a").write_text(text)
    return path


def test_a_folder_is_there_at_every_moment(tmp_path, monkeypatch):
    if not folders._exchanged(made(tmp_path / "1", ""), made(tmp_path / "2", "")):
        pytest.skip("this file system cannot exchange two names")

    def rename(self, target):
        raise AssertionError("between two renames there is none")

    monkeypatch.setattr(Path, "rename", rename)
    old, new = made(tmp_path / "old", "old"), made(tmp_path / "new", "new")
    folders.put_in_place(new, old, overwrite=True)
    assert (old / "a").read_text() == "new"
    assert not new.exists()


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_left(exchanges, is_there, tmp_path, monkeypatch):
    if not exchanges:
        monkeypatch.setattr(folders, "_exchanged", lambda one, other: False)
    new, target = made(tmp_path / "new", "new"), tmp_path / "target"
    if is_there:
        made(target, "old")
    folders.put_in_place(new, target, overwrite=True, aside=tmp_path / "aside")
    assert [x.name for x in tmp_path.iterdir()] == ["target"]
    assert (target / "a").read_text() == "new"


def test_an_error_leaves_both(tmp_path):
    old = made(tmp_path / "old", "old")
    with pytest.raises(FileNotFoundError):
        folders.put_in_place(tmp_path / "none", old, overwrite=True)
    assert (old / "a").read_text() == "old"


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_there_is_not_replaced_unasked(what, tmp_path):
    new, target = made(tmp_path / "new", "new"), tmp_path / "target"
    made(target, "mine") if what == "folder" else target.write_text("mine")
    with pytest.raises(FileExistsError, match="target: has come to be there meanwhile"):
        folders.put_in_place(new, target, overwrite=False)
    assert (target / "a" if what == "folder" else target).read_text() == "mine"
    assert (new / "a").read_text() == "new"
