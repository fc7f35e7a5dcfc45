"""The working folder of a conversion: what of it is done, so that it can go on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_NAME = "journal.json"


class Journal:
    """Steps that are finished, and the files that they left.

    A step is finished when its files are on the disk and the journal says so: after an end at any
    moment the next run finds files that are longer than the journal says, or that it does not know,
    and does their step again.

    Parameters
    ----------
    folder : Path
        The working folder; made if need be.
    key : dict
        All that the steps depend on, as JSON has it.
    on_message : callable, optional
        Called with a line for people.

    Attributes
    ----------
    is_new : bool
        Whether nothing is done yet.
    """

    def __init__(
        self, folder: Path, key: dict[str, Any], on_message: Callable[[str], None] | None = None
    ) -> None:
        self.folder = folder
        self._lock = _locked(folder)
        try:
            self._key = json.loads(json.dumps(key))
            self._steps: dict[str, Any] = {}
            self._files: dict[str, int] = {}
            self.is_new = not self._resume(on_message)
            if self.is_new:
                self.restart()
        except BaseException:
            self.close()
            raise

    def _resume(self, on_message: Callable[[str], None] | None) -> bool:
        tell = on_message or (lambda text: None)
        try:
            loaded = json.loads((self.folder / _NAME).read_text(encoding="utf-8"))
            key, steps, files = loaded["key"], loaded["steps"], loaded["files"]
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):
            tell(f"{self.folder}: its journal cannot be read; starting anew")
            return False
        if key != self._key:
            what = ", ".join(sorted(k for k in self._key if key.get(k) != self._key[k]))
            tell(f"{self.folder}: is of a conversion with other {what}; starting anew")
            return False
        for name, size in files.items():
            path = self.folder / name
            stat = path.stat() if path.is_file() else None
            # Longer by what an unfinished step wrote; but not a link, which no step writes to.
            if stat is None or stat.st_size < size or (stat.st_size > size and stat.st_nlink > 1):
                tell(f"{path}: is not as it was left; starting anew")
                return False
        self._steps, self._files = steps, files
        for name, size in files.items():
            if (self.folder / name).stat().st_size > size:
                os.truncate(self.folder / name, size)
        if steps:
            plural = "" if len(steps) == 1 else "s"
            tell(f"{self.folder}: going on after {len(steps)} finished step{plural}")
        return bool(steps)

    def step(self, name: str, make: Callable[[], tuple[Any, Iterable[Path]]]) -> Any:
        """What a step came to: made now, unless it is finished already.

        Parameters
        ----------
        name : str
            Of the step.
        make : callable
            Returns what it came to, as JSON has it, and the files that it wrote or wrote on.
        """
        if name in self._steps:
            return self._steps[name]
        result, files = make()
        for file in files:
            self._files[str(file.relative_to(self.folder))] = _synced(file)
        self._steps[name] = json.loads(json.dumps(result))
        self._save()
        return self._steps[name]

    def drop(self, files: Iterable[Path]) -> None:
        """Remove files that no later step needs."""
        files = list(files)
        for file in files:
            self._files.pop(str(file.relative_to(self.folder)), None)
        self._save()
        for file in files:
            file.unlink(missing_ok=True)

    def restart(self) -> None:
        """Forget what is done, and all that it left."""
        # The journal first: half of what it speaks of must not be taken for all.
        self._steps, self._files = {}, {}
        self._save()
        self._clear()

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name not in ("lock", _NAME):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def remove(self) -> None:
        """Remove the folder, or what of it can be removed.

        Ended midway, the next run goes on with that, or begins anew.
        """
        with suppress(OSError):  # whatever the conversion came to, it came to that
            self._clear()
            for name in (_NAME, "lock"):
                (self.folder / name).unlink(missing_ok=True)
            self.folder.rmdir()

    def conclude(self, name: str, result: Any) -> None:
        """One last step in place of all others.

        Whatever becomes of their files from now on, nothing is taken up from them.
        """
        self._steps, self._files = {name: result}, {}
        self._save()

    def result(self, name: str) -> Any:
        """What a finished step came to; None if it is not finished."""
        return self._steps.get(name)

    def _save(self) -> None:
        values = {"key": self._key, "steps": self._steps, "files": self._files}
        temporary = self.folder / f"{_NAME}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / _NAME)
        sync_folder(self.folder)

    def close(self) -> None:
        """Let others at the folder."""
        self._lock.close()


def _locked(folder: Path) -> IO[str]:
    """The lock of a working folder, which is made if need be."""
    while True:
        folder.mkdir(exist_ok=True)
        path = folder / "lock"
        try:
            if any(folder.iterdir()) and not path.exists() and not (folder / _NAME).exists():
                raise FileExistsError(
                    f"{folder}: is no conversion's folder, and not empty; a conversion needs the"
                    " name"
                )
            lock = path.open("w")
        except FileNotFoundError:  # another one has just removed the folder
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(path)):
                return lock
        except FileNotFoundError:
            pass
        except OSError as error:
            lock.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise BlockingIOError(
                errno.EAGAIN, f"{folder}: another conversion is at work in it"
            ) from None
        # Another one has removed the file while this one waited for it.
        lock.close()


def key_of(folder: Path) -> Any:
    """What the steps of a working folder depend on; None if it is no such folder."""
    try:
        loaded = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return loaded.get("key") if isinstance(loaded, dict) else None


def sync_folder(folder: Path) -> None:
    """Make sure that names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _synced(file: Path) -> int:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
        return os.fstat(handle).st_size
    finally:
        os.close(handle)
