"""Conversions that end while the new folder takes its place, and while they clean up."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from graphs_alike import files_of

from hopflow import datasets
from hopflow.datasets.conversion import steps
from hopflow.datasets.conversion.journal import Journal
from hopflow.storage import folders


def test_ended_before_it_cleaned_up(source, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "remove", lambda self: None)
        first = datasets.convert(source, tmp_path / "out")
    assert (tmp_path / "out.converting").exists()
    assert datasets.convert(source, tmp_path / "out") == first
    assert not (tmp_path / "out.converting").exists()
    # Of another conversion what is left there says nothing.
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "remove", lambda self: None)
        datasets.convert(source, tmp_path / "two")
    other = datasets.convert(source, tmp_path / "two", undirected=True, overwrite=True)
    assert other != first


class Killed(BaseException):
    pass


def replace_and_die(source, folder, monkeypatch, moment):
    """A conversion that replaces another graph, and ends before or after the two change places."""

    def put_in_place(made, target, **options):
        if moment == "after":
            folders._exchanged(made, target)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(steps, "put_in_place", put_in_place)
        with pytest.raises(Killed):
            datasets.convert(source, folder, overwrite=True)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("what", ["nothing", "moved", "other options", "made is gone"])
def test_ended_while_one_graph_took_anothers_place(source, moment, what, tmp_path, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(source, other)
    np.save(other / "feat.npy", np.ones((90, 6), np.float32))
    linked = (other / "feat.npy").read_bytes()
    folder, working = tmp_path / "out", tmp_path / "out.converting"
    old = datasets.convert(other, folder, link=True)
    replace_and_die(source, folder, monkeypatch, moment)
    asked = {}
    if what == "moved":
        folder.rename(tmp_path / "kept")
    elif what == "other options":
        asked = {"undirected": True}
    elif what == "made is gone":
        shutil.rmtree(working / "made")
    new = datasets.convert(source, folder, overwrite=True, **asked)
    assert not working.exists()
    assert datasets.check_graph(folder) == []
    assert new == datasets.convert(source, tmp_path / "whole", **asked) != old
    assert files_of(folder) == files_of(tmp_path / "whole")
    # What the graph that was there is linked to is as it was.
    assert (other / "feat.npy").read_bytes() == linked
    if what == "moved":
        kept = datasets.load(tmp_path / "kept")
        assert datasets.check_graph(tmp_path / "kept") == []
        assert kept[0][0].ndata["feat"].shape[1] == (6 if moment == "before" else 4)


def test_a_damaged_graph_is_not_taken_for_the_new_one(source, tmp_path, monkeypatch):
    """The same source once more: both have one id."""
    folder = tmp_path / "out"
    first = datasets.convert(source, folder)
    (folder / "node-0.col-0.npy").write_bytes(b"")
    replace_and_die(source, folder, monkeypatch, "before")
    assert datasets.convert(source, folder, overwrite=True) == first
    assert datasets.check_graph(folder) == []


def test_half_of_what_was_made_does_not_replace_anything(source, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    old = datasets.convert(source, folder, undirected=True)
    replace_and_die(source, folder, monkeypatch, "before")
    (tmp_path / "out.converting" / "made" / "node-0.col-0.npy").unlink()
    assert datasets.convert(source, folder, overwrite=True) != old
    assert datasets.check_graph(folder) == []


def test_nothing_that_comes_at_the_last_moment_is_replaced_unasked(source, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    real = Journal.conclude

    def conclude(self, name, result):
        real(self, name, result)
        folder.write_text("precious")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "conclude", conclude)
        with pytest.raises(FileExistsError):
            datasets.convert(source, folder)
    assert folder.read_text() == "precious"
    folder.unlink()
    datasets.convert(source, folder)
    assert datasets.check_graph(folder) == []


@pytest.mark.parametrize("number", range(1, 7))
def test_ended_while_it_cleans_up(source, number, tmp_path, monkeypatch):
    folder, count = tmp_path / "out", 0
    first = datasets.convert(source, tmp_path / "whole")
    real = Path.unlink

    def unlink(self, **options):
        nonlocal count
        count += Path(tmp_path / "out").exists()
        if count == number:
            raise Killed
        real(self, **options)

    def clear(self):  # as of a table: files of its own, in any order
        for path in sorted(self.folder.iterdir()):
            if path.name not in ("lock", "journal.json"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_clear", clear)
        patch.setattr(Path, "unlink", unlink)
        with suppress(Killed):
            datasets.convert(source, folder)
    assert datasets.convert(source, folder, overwrite=True) == first
    assert datasets.check_graph(folder) == []
    assert not (tmp_path / "out.converting").exists()


def test_a_lock_that_was_removed_holds_nobody_off(tmp_path, monkeypatch):
    working = tmp_path / "w"
    first = Journal(working, {})
    real, tried = fcntl.flock, []

    def flock(handle, how):
        if not tried:
            tried.append(1)
            first.remove()
            first.close()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    second = Journal(working, {})
    assert (working / "lock").exists()
    monkeypatch.setattr(fcntl, "flock", real)
    with pytest.raises(BlockingIOError, match="another conversion is at work"):
        Journal(working, {})
    second.close()
    # An error at the start lets go of it.
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_save", lambda self: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full") as kept:
            Journal(working, {"a": 1})
    assert kept
    Journal(working, {}).close()
