"""``hopflow doctor``: what hopflow finds on this machine, and what it would change.

The only module that reads environment variables; nothing else in hopflow depends on them.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import hopflow as hf
from hopflow import ops

_CPU_FLAGS = ("sse4_2", "avx", "avx2", "f16c", "fma", "avx512f", "avx512bw", "avx512vl",
              "avx512dq", "avx512_bf16", "amx_bf16", "asimd", "sve")  # fmt: skip


def examine() -> dict[str, Any]:
    """Collect the findings, grouped, with the advice last; never raises for a missing file."""
    findings: dict[str, Any] = {
        "versions": _versions(),
        "cpu": _cpu(),
        "threads": _threads(),
        "openmp": _openmp(),
        "memory": _memory(),
        "cuda": _cuda(),
    }
    findings["advice"] = _advice(findings)
    return findings


def render(findings: dict[str, Any], console: Console) -> None:
    """Print the findings as a table and the advice as a list."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for _ in range(3):
        table.add_column(overflow="fold")
    for group, values in findings.items():
        if group == "advice":
            continue
        for i, (name, value) in enumerate(values.items()):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(f"[bold]{group if i == 0 else ''}[/]", name, shown or "none")
    console.print(table)
    if not findings["advice"]:
        console.print("\n[green]Nothing to change.[/]")
    for advice in findings["advice"]:
        console.print("\n[yellow]change:[/]", end=" ")
        console.print(advice, markup=False)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _versions() -> dict[str, str]:
    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    return {
        "hopflow": hf.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "ogb": version("ogb"),
        "system": platform.platform(),
    }


def _cpu() -> dict[str, Any]:
    info = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*)$", info, flags=re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", info, flags=re.M)
    present = set(flags[1].split()) if flags else set()
    return {
        "model": model[1] if model else platform.processor() or platform.machine(),
        "features": [flag for flag in _CPU_FLAGS if flag in present],
        "kernels use": ops.instruction_set(),
    }


def _threads() -> dict[str, Any]:
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    limit = float(quota[0]) / float(quota[1]) if len(quota) == 2 and quota[0] != "max" else None
    return {
        "processors": os.cpu_count() or 1,
        "usable here": affinity or os.cpu_count() or 1,
        "container limit": "none" if limit is None else limit,
        "torch": torch.get_num_threads(),
        "hopflow": ops.num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }


def _openmp() -> dict[str, Any]:
    found = re.findall(r"(/\S*lib(?:gomp|omp|iomp)\S*\.so\S*)", _read("/proc/self/maps"))
    return {"runtimes loaded": sorted(set(found))}


def _memory() -> dict[str, Any]:
    total = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), flags=re.M)
    available = re.search(r"^MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"), flags=re.M)
    pages = re.search(r"\[(\w+)\]", _read("/sys/kernel/mm/transparent_hugepage/enabled"))
    return {
        "total": f"{int(total[1]) / 2**20:.1f} GiB" if total else "unknown",
        "available": f"{int(available[1]) / 2**20:.1f} GiB" if available else "unknown",
        "transparent huge pages": pages[1] if pages else "unknown",
    }


def _cuda() -> dict[str, Any]:
    devices, problem = ops.cuda_devices()
    return {
        "built into hopflow": ops.cuda_build_version() or "no",
        "built into torch": torch.version.cuda or "no",
        "devices": [f"{name} (sm_{major}{minor})" for name, major, minor in devices],
        "reason for none": "" if devices else problem,
    }


def _advice(findings: dict[str, Any]) -> list[str]:
    advice = []
    threads, cuda = findings["threads"], findings["cuda"]
    if len(findings["openmp"]["runtimes loaded"]) > 1:
        advice.append(
            "Several OpenMP runtimes are loaded; each starts threads of its own and"
            " torch.set_num_threads reaches one of them. Import torch and hopflow before packages"
            " that bring another."
        )
    limit = threads["container limit"]
    usable = threads["usable here"] if limit == "none" else min(threads["usable here"], limit)
    if threads["hopflow"] > usable:
        advice.append(
            f"{threads['hopflow']} threads share {usable:g} processors: call"
            f" torch.set_num_threads({max(int(usable), 1)})."
        )
    elif threads["OMP_NUM_THREADS"] != "not set" and threads["hopflow"] < usable:
        advice.append(
            f"OMP_NUM_THREADS={threads['OMP_NUM_THREADS']} leaves"
            f" {usable - threads['hopflow']:g} of {usable:g} processors idle: unset it."
        )
    if threads["torch"] != threads["hopflow"]:
        advice.append(
            f"torch uses {threads['torch']} threads and hopflow {threads['hopflow']}: they do not"
            " share an OpenMP runtime."
        )
    if findings["memory"]["transparent huge pages"] == "never":
        advice.append(
            "Transparent huge pages are off; random reads of large arrays are slower for it. As"
            " root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
        )
    if cuda["devices"] and cuda["built into hopflow"] == "no":
        advice.append(
            "There is a CUDA device, but hopflow was built without CUDA: install nvcc, then"
            " pip install --no-cache-dir --force-reinstall --no-deps ."
        )
    if cuda["devices"] and cuda["built into torch"] == "no":
        advice.append(
            "There is a CUDA device, but this torch is a CPU build: install one with CUDA."
        )
    if sys.maxsize < 2**32:
        advice.append("This Python is 32-bit; large graphs will not fit its memory.")
    return advice
