"""Every entry of hopflow as a pytest benchmark, to compare one commit with another.

``-m 'not heavy'`` leaves out what takes minutes; ``--benchmark-autosave`` and
``--benchmark-compare`` are pytest-benchmark's way to keep results and hold new ones against them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import HERE
from hopbench.case import Case, Entry, Unavailable, discover
from hopbench.shared import forget
from hopbench.workloads import Workloads, default_cache, make

pytest.importorskip("pytest_benchmark", reason="pip install '.[bench]'")


def parameters() -> Iterator[Any]:
    """Every entry of hopflow, by its case and options."""
    for _, case in discover(HERE).values():
        for entry in case.entries:
            if entry.engine == "hopflow" and not case.name.startswith("limits."):
                options = "-".join(map(str, entry.options.values()))
                yield pytest.param(
                    case, entry, id=f"{case.name}{f'-{options}' if options else ''}",
                    marks=[pytest.mark.heavy] if case.heavy else [],
                )  # fmt: skip


@pytest.mark.parametrize(("case", "entry"), parameters())
def test_case(case: Case, entry: Entry, benchmark: Any) -> None:
    """Time one entry; its graph goes when it is done."""
    cache = default_cache()
    try:
        for name in case.workloads:
            make(name, cache)
        task = entry.setup(Workloads(cache), **entry.options)
    except (Unavailable, FileNotFoundError) as error:
        pytest.skip(str(error))
    benchmark.group = case.name
    benchmark.extra_info.update(task.work)
    benchmark.pedantic(task.run, rounds=3 if case.heavy else 10, warmup_rounds=1)
    forget()
