"""The orchestrator's end of a worker process: requests with time-outs, deaths noticed."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

# One variable for each library that would otherwise start its own number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

START_SECONDS = 120.0


class WorkerError(Exception):
    """A request that got no result: ``status`` is missing, failed, died or timeout."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Client:
    """A worker of one engine, started when it is first asked and again after it has died."""

    def __init__(
        self, engine: str, python: str, *, folder: Path, cache: Path, threads: int, timeout: float
    ) -> None:
        self.engine, self.python = engine, python
        self.versions: dict[str, str] = {}
        self._arguments = ["--folder", str(folder), "--cache", str(cache)]
        self._threads, self._timeout = threads, timeout
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: Any = None

    def _start(self) -> subprocess.Popen[str]:
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        threads = str(self._threads)
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, threads)}
        if self.python != sys.executable:  # our paths hold packages for another interpreter
            environment.pop("PYTHONPATH", None)
        process = subprocess.Popen(
            [self.python, str(Path(__file__).with_name("worker.py")), *self._arguments,
             "--threads", threads],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env=environment,
            start_new_session=True,  # a time-out ends the processes that the engine started too
        )  # fmt: skip
        self._process, self._lines = process, queue.SimpleQueue()
        threading.Thread(target=_read, args=(process, self._lines), daemon=True).start()
        self.versions = self._ask("hello", engine=self.engine)["versions"]
        return process

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Send a request and return its answer; raises :class:`WorkerError`."""
        if self._process is None:
            try:
                self._start()
            except OSError as error:
                raise WorkerError("died", f"{self.python} does not start: {error}") from error
        return self._ask(do, **values)

    def _ask(self, do: str, **values: Any) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            process.stdin.flush()
            # Importing torch from a cold disk is not what the time-out is about.
            timeout = max(self._timeout, START_SECONDS) if do == "hello" else self._timeout
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise WorkerError("timeout", f"no answer to {do} in {timeout:g} s") from None
        except BrokenPipeError:
            line = None
        if line is None:
            raise WorkerError("died", self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise WorkerError(answer["status"], answer["reason"])
        return answer

    def _last_words(self) -> str:
        process = self._process
        assert process is not None
        code = process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        self.close()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return f"the worker ended with {how}" + (f": {lines[-1]}" if lines else "")

    @property
    def is_running(self) -> bool:
        """Whether a process is held."""
        return self._process is not None

    def close(self) -> None:
        """End the worker and every process that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, self._errors):
            with contextlib.suppress(OSError):  # what was not yet sent to a dead worker
                stream.close()


def _read(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
    lines.put(None)
