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
import hopflow.ops as ops
from hopflow.commands.shared import Json, as_text

_CPU_FLAGS = ("sse4_2", "avx", "avx2", "f16c", "fma", "avx512f", "avx512bw", "avx512vl",
              "avx512dq", "avx512_bf16", "amx_bf16", "asimd", "sve")  # fmt: skip

_WITH_CUDA = "pip install --force-reinstall --no-deps . -C cmake.define.HOPFLOW_CUDA=ON"


def doctor(as_json: Json = False) -> None:
    """Show versions, CPU features, threads, OpenMP and CUDA, and what should be changed."""
    findings = examine()
    if as_json:
        print(as_text(findings))
    else:
        render(findings, Console(highlight=False))


def examine() -> dict[str, Any]:
    """Collect the findings, grouped, with the advice last; never raises for a missing file."""
    findings: dict[str, Any] = {
        "versions": _versions(),
        "cpu": _cpu(),
        "threads": _threads(),
        "openmp": _openmp(),
        "memory": _memory(),
        "cuda": _cuda(),
        "files": _files(),
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
    limit = _container_limit()
    return {
        "processors": os.cpu_count() or 1,
        "usable here": affinity or os.cpu_count() or 1,
        "container limit": "none" if limit is None else limit,
        "torch": torch.get_num_threads(),
        "hopflow": ops.num_threads(),
        "load, last minute": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
    }


def _container_limit() -> float | None:
    """Processors that this process's control groups grant it; None without a limit."""
    # cgroup v2 nests: the tightest limit on the way up counts. Inside a container it is the root's.
    own = re.search(r"^0::(/.*)$", _read("/proc/self/cgroup"), flags=re.M)
    folder = Path("/sys/fs/cgroup") / (own[1].lstrip("/") if own else "")
    limits = []
    while folder.is_relative_to("/sys/fs/cgroup"):
        limits.append(_quota(_read(f"{folder}/cpu.max").split()))
        folder = folder.parent
    first = "/sys/fs/cgroup/cpu/cpu.cfs_"  # cgroup v1
    limits.append(_quota([_read(f"{first}quota_us"), _read(f"{first}period_us")]))
    return min((limit for limit in limits if limit is not None), default=None)


def _quota(quota_and_period: list[str]) -> float | None:
    try:
        quota, period = (float(part) for part in quota_and_period)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _openmp() -> dict[str, Any]:
    name = r"lib(?:gomp|i?omp5?)(?:-[0-9a-f]+)?\.so[.\d]*"
    found = re.findall(rf"(/.*/{name})$", _read("/proc/self/maps"), flags=re.M)
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
    driver = re.search(r"Kernel Module\D*([\d.]+)", _read("/proc/driver/nvidia/version"))
    built = ops.cuda_build_version()
    return {
        "driver": driver[1] if driver else "none",
        "built into hopflow": built or "no",
        **({} if built else {"to build it in": f"{_WITH_CUDA}  (needs nvcc)"}),
        "compiled for": ops.cuda_build_architectures(),
        "built into torch": torch.version.cuda or "no",
        "devices": [f"{name} (sm_{major}{minor})" for name, major, minor in devices],
        "reason for none": "" if devices else problem,
    }


def _files() -> dict[str, Any]:
    from hopflow.datasets.cache import user_cache_dir

    cache = user_cache_dir()
    # What exists of it decides whether the rest can be made.
    there = next((folder for folder in (cache, *cache.parents) if folder.exists()), cache)
    return {
        "native module": str(getattr(sys.modules.get("hopflow._native"), "__file__", "unknown")),
        "cache": str(cache),
        "cache can be written": os.access(there, os.W_OK),
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
    # doctor itself adds little to the load: what there is are other programs.
    load = threads["load, last minute"]
    is_passive = threads["OMP_WAIT_POLICY"].lower() == "passive"
    if load > 0.5 and load + threads["hopflow"] > usable + 0.5 and not is_passive:
        advice.append(
            f"Other programs keep about {load:g} of {usable:g} processors busy. Where OpenMP's"
            " threads wait for one another they spin, and lose whole time slices to these programs:"
            " set OMP_WAIT_POLICY=passive (on two busy processors: an epoch in 10 s that took more"
            " than 35), or use fewer threads."
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
    # A build without CUDA cannot see a device: the driver tells.
    has_device = bool(cuda["devices"]) or cuda["driver"] != "none"
    if has_device and cuda["built into hopflow"] == "no":
        advice.append(
            "There is a CUDA device, but hopflow was built without CUDA: install nvcc, then"
            f" {_WITH_CUDA}"
        )
    elif has_device and not cuda["devices"]:
        advice.append(
            f"There is an NVIDIA driver ({cuda['driver']}), but no device can be used:"
            f" {cuda['reason for none']}."
        )
    if has_device and cuda["built into torch"] == "no":
        advice.append(
            "There is a CUDA device, but this torch is a CPU build: install one with CUDA."
        )
    if not findings["files"]["cache can be written"]:
        advice.append(
            f"{findings['files']['cache']} cannot be written: the built-in graph is made anew every"
            " time. Set XDG_CACHE_HOME to a folder that can."
        )
    if sys.maxsize < 2**32:
        advice.append("This Python is 32-bit; large graphs will not fit its memory.")
    return advice
