"""Processes that stand for ranks: kept for a test session, each call in a group of its own."""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch

TIMEOUT = 60.0


def rank_context() -> Any:
    """How ranks are started: from a process that has torch loaded and no threads yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.distributed", "hopflow.distributed"])
    return context


def _serve(pipe: Any) -> None:
    """Run what comes until None comes."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    while (task := pipe.recv()) is not None:
        function, arguments, address, rank, num_ranks = task
        try:
            if address is not None:
                dist.init_process_group(
                    "gloo", init_method=address, rank=rank, world_size=num_ranks,
                    timeout=timedelta(seconds=TIMEOUT),
                )  # fmt: skip
                # Or a rank with little to do is gone before the others have found it.
                dist.barrier()
            try:
                result = function(rank, *arguments)
            finally:
                if dist.is_initialized():
                    dist.destroy_process_group()
            pipe.send((True, result))
        except BaseException as error:
            pipe.send((False, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))


class Ranks:
    """At most so many processes, started when they are first needed."""

    def __init__(self) -> None:
        self._processes: list[tuple[Any, Any]] = []

    def run(
        self, function: Callable[..., Any], *arguments: Any, num: int = 2, init: bool = True
    ) -> list[Any]:
        """``function(rank, *arguments)`` on each of so many ranks; with ``init`` in a group."""
        context = rank_context()
        while len(self._processes) < num:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._processes.append((process, ours))
        # Not a file: torch removes it when as many groups have gone as there are ranks.
        address = f"tcp://127.0.0.1:{_free_port()}" if init else None
        for rank, (_, pipe) in enumerate(self._processes[:num]):
            pipe.send((function, arguments, address, rank, num))
        results = []
        for rank, (_, pipe) in enumerate(self._processes[:num]):
            if not pipe.poll(2 * TIMEOUT):
                self.close()
                raise TimeoutError(f"rank {rank} has not answered for {2 * TIMEOUT:g} s")
            results.append(pipe.recv())
        failed = [f"rank {rank}: {text}" for rank, (ok, text) in enumerate(results) if not ok]
        if failed:
            self.close()  # what went wrong may have left them out of step
            raise AssertionError("\n".join(failed))
        return [result for _, result in results]

    def close(self) -> None:
        """End the processes."""
        for process, pipe in self._processes:
            if process.is_alive():
                with suppress(OSError):
                    pipe.send(None)
                process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
        self._processes = []


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def error_of(function: Callable[[], Any]) -> str | None:
    """The error that a call ends with, as text."""
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
