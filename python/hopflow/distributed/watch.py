"""Who is alive: ranks tell a common store so, and an exchange that fails can name who does not."""

from __future__ import annotations

import itertools
import socket
import threading
import time
import weakref
from contextlib import suppress
from typing import Any

import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

import hopflow.ops as ops

# How often a rank says that it is alive, and for how long it may be silent before it is named.
_INTERVAL = 0.5
_SILENCE = 3.0
# How long rank 0 stays after it has named another: the store often ends with it, and the others are
# still looking.
_LINGER = 1.5


class Watch:
    """Signs of life of all ranks, in the store of the default process group.

    Made and ended by every rank. A thread of its own adds to a counter of the rank's; who reads it
    twice knows whether the rank still runs. A stopped process (SIGSTOP) is silent as a dead one.

    Parameters
    ----------
    rank, num_ranks : int
        This process, and how many there are.
    name : str
        Keys of several graphs must not meet.
    """

    def __init__(self, rank: int, num_ranks: int, name: str) -> None:
        self._rank, self._num_ranks = rank, num_ranks
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._store: Any = None
        if num_ranks == 1:
            return
        self._store = PrefixStore(f"hopflow/{name}", _own_store())
        self._store.set(f"host/{rank}", socket.gethostname())
        self._store.set(f"beat/{rank}", "0")
        self._thread = threading.Thread(
            target=_beat, args=(self._store, rank, self._end), name="hopflow-watch", daemon=True
        )
        self._thread.start()
        # At exit too: a thread in the store when torch takes it down would crash the process.
        self._finalizer = weakref.finalize(self, _stop, self._end, self._thread)

    def report(self, error: BaseException) -> None:
        """Leave word for the other ranks of what this one fails with."""
        if self._store is None:
            return
        # Where the store is gone the others see for themselves.
        with suppress(Exception):
            self._store.set(f"failed/{self._rank}", f"{type(error).__name__}: {error}"[:500])

    def forget(self) -> None:
        """Take back what :meth:`report` left."""
        if self._store is not None:
            self._store.set(f"failed/{self._rank}", "")
            self._store.set("blame", "")

    def explain(self, error: BaseException, what: str) -> Exception:
        """The error to raise for an exchange that failed, naming the ranks that are to blame."""
        try:
            told = self._blame()
            if told is not None and self._rank == 0:
                self._store.set("blame", told)
                time.sleep(_LINGER)
        except Exception:
            keeper = "torchrun" if dist.is_torchelastic_launched() else "rank 0"
            told = f"{keeper}, which keeps the store of torch.distributed, is gone"
        if told is None:
            told = (
                "every rank is alive; one was slower than the limit, or the network failed"
                f" ({error})"
            )
        made = ops.HopflowError(f"{what} failed on rank {self._rank}: {told}")
        self.report(made)
        return made

    def _blame(self) -> str | None:
        others = [rank for rank in range(self._num_ranks) if rank != self._rank]
        if not self._read(f"beat/{self._rank}"):
            return "the store of torch.distributed has lost what ranks wrote, so none can be named"
        before = {rank: self._read(f"beat/{rank}") for rank in others}
        begin = time.monotonic()
        while True:
            failed = {rank: self._read(f"failed/{rank}") for rank in others}
            # What others fail with because of a third is no cause.
            own = {r: text for r, text in failed.items() if text and "failed on rank" not in text}
            if own:
                return "; ".join(f"rank {r} failed with {text}" for r, text in own.items())
            if blame := self._read("blame"):
                return blame
            silent = [r for r in others if self._read(f"beat/{r}") == before[r]]
            if not silent:
                return None
            if time.monotonic() - begin > _SILENCE:
                break
            time.sleep(_INTERVAL / 2)
        names = ", ".join(f"rank {r} ({self._read(f'host/{r}') or '?'})" for r in silent)
        verb = "gives" if len(silent) == 1 else "give"
        return f"{names} {verb} no sign of life; killed, stopped or cut off"

    def _read(self, key: str) -> str:
        if not self._store.check([key]):
            return ""
        return str(self._store.get(key).decode())

    def close(self) -> None:
        """End the thread."""
        _stop(self._end, self._thread)


def _beat(store: Any, rank: int, end: threading.Event) -> None:
    """Say again and again that the rank is alive."""
    for count in itertools.count(1):
        if end.wait(_INTERVAL):
            return
        try:
            store.set(f"beat/{rank}", str(count))
        except Exception:
            return  # the store is gone: explain() says so


def _stop(end: threading.Event, thread: threading.Thread | None) -> None:
    end.set()
    if thread is not None and thread is not threading.current_thread():
        thread.join(5)


def _own_store() -> Any:
    """The store of the default group, by a connection of its own where that can be had.

    What another thread waits for on a shared connection would hold up the signs of life.
    """
    store = dist.distributed_c10d._get_default_store()
    while isinstance(store, PrefixStore):
        store = store.underlying_store
    # torch removes the file of a file store when as many of its copies are gone as there are ranks.
    return store.clone() if isinstance(store, TCPStore) and hasattr(store, "clone") else store
