"""Conversions that are killed at given moments and taken up again; a program of its own.

``python killed_conversions.py SOURCE FOLDER MOMENTS MEMORY [OPTION ...]`` kills a first conversion
when it has made sure for the n-th time that something is on the disk, for each of the moments n,
each going on from the one before, then runs one to its end. It prints what they said. An option is
a name, which is True, or ``NAME=JSON``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from hopflow import datasets
from hopflow.datasets.conversion import options


def convert(said: Path, moment: int | None) -> None:
    """Convert in a process of its own, which a moment ends."""
    # Forked before any kernel has run: threads of OpenMP would not be there in the child.
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if moment is None:
            assert os.WEXITSTATUS(status) == 0
        else:
            assert died, (moment, status)
        return
    code = 1
    try:
        real, count = os.fsync, 0

        def fsync(handle: int) -> None:
            nonlocal count
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            real(handle)

        os.fsync = fsync
        source, folder, _, memory, *flags = sys.argv[1:]
        with said.open("a", buffering=1) as file:
            datasets.convert(
                source, folder, memory=int(memory), on_message=lambda text: print(text, file=file),
                **dict(map(option, flags)),
            )  # fmt: skip
        code = 0
    finally:
        os._exit(code)


def option(text: str) -> tuple[str, Any]:
    """A name and its value."""
    name, equals, value = text.partition("=")
    return name, json.loads(value) if equals else True


def main() -> None:
    """Kill as asked, then finish."""
    options.LEAST_EDGES = 50
    said = Path(sys.argv[2] + ".said")
    for moment in json.loads(sys.argv[3]):
        convert(said, moment)
    convert(said, None)
    print(said.read_text())


if __name__ == "__main__":
    main()
