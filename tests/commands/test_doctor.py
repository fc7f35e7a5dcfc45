"""What `hopflow doctor` finds and advises, on machines that are not at hand."""

from __future__ import annotations

import copy
import io

import pytest
from rich.console import Console

from hopflow.commands import doctor

MAPS = """\
7f00-7f01 r-xp 0 0:0 1 /v/torch/lib/libgomp-a34b3233.so.1
7f02-7f03 r--p 0 0:0 1 /v/torch/lib/libgomp-a34b3233.so.1
7f04-7f05 r-xp 0 0:0 2 /v/with space/libiomp5.so
7f06-7f07 r-xp 0 0:0 3 /usr/lib/libomp.so.5
7f08-7f09 r-xp 0 0:0 4 /usr/lib/libompi_trace.so.40
7f0a-7f0b r-xp 0 0:0 5 /usr/lib/libomptarget.so
"""


@pytest.fixture
def machine(monkeypatch):
    """Put files in the place of those under /proc and /sys; all others are missing."""

    def put(**files: str) -> None:
        by_path = {name.replace("__", "/"): text for name, text in files.items()}
        monkeypatch.setattr(
            doctor, "_read", lambda path: by_path.get(path.strip("/").replace(".", "_"), "")
        )

    put()
    return put


@pytest.fixture
def quiet():
    """Findings of a machine with nothing to change."""
    findings = copy.deepcopy(doctor.examine())
    findings["threads"].update(
        {
            "usable here": 8, "container limit": "none", "torch": 8, "hopflow": 8,
            "load, last minute": 0.1, "OMP_NUM_THREADS": "not set", "OMP_WAIT_POLICY": "not set",
        }
    )  # fmt: skip
    findings["openmp"]["runtimes loaded"] = ["/a/libgomp.so.1"]
    findings["memory"]["transparent huge pages"] = "madvise"
    findings["cuda"] = {
        "driver": "none", "built into hopflow": "no", "built into torch": "no", "devices": [],
        "reason for none": "built without CUDA",
    }  # fmt: skip
    findings["files"]["cache can be written"] = True
    return findings


def test_a_machine_without_proc_is_no_failure(machine):
    findings = doctor.examine()
    assert findings["threads"]["container limit"] == "none"
    assert findings["openmp"]["runtimes loaded"] == []
    doctor.render(findings, Console(quiet=True))


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"sys__fs__cgroup__cpu_max": "max 100000"}, "none"),
        ({"sys__fs__cgroup__cpu_max": "150000 100000"}, 1.5),
        ({"sys__fs__cgroup__cpu_max": "nonsense"}, "none"),
        (
            {
                "proc__self__cgroup": "0::/user/job\n",
                "sys__fs__cgroup__user__cpu_max": "200000 100000",
                "sys__fs__cgroup__user__job__cpu_max": "max 100000",
            },
            2.0,
        ),
        (
            {
                "sys__fs__cgroup__cpu__cpu_cfs_quota_us": "50000\n",
                "sys__fs__cgroup__cpu__cpu_cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "sys__fs__cgroup__cpu__cpu_cfs_quota_us": "-1\n",
                "sys__fs__cgroup__cpu__cpu_cfs_period_us": "100000\n",
            },
            "none",
        ),
    ],
)
def test_container_limits(machine, files, limit):
    machine(**files)
    assert doctor.examine()["threads"]["container limit"] == limit


def test_openmp_runtimes_are_found_by_name(machine):
    machine(proc__self__maps=MAPS)
    assert doctor.examine()["openmp"]["runtimes loaded"] == [
        "/usr/lib/libomp.so.5",
        "/v/torch/lib/libgomp-a34b3233.so.1",
        "/v/with space/libiomp5.so",
    ]


def test_driver(machine):
    machine(
        proc__driver__nvidia__version="NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10"
        "  Wed\nGCC version: gcc 12\n"
    )
    assert doctor.examine()["cuda"]["driver"] == "570.86.10"


def test_nothing_to_change(quiet):
    assert doctor._advice(quiet) == []
    console = Console(record=True, width=100, file=io.StringIO())
    doctor.render({**quiet, "advice": []}, console)
    assert "Nothing to change" in console.export_text()


@pytest.mark.parametrize(
    ("group", "change", "word"),
    [
        ("threads", {"container limit": 2.0}, "8 threads share 2 processors"),
        (
            "threads",
            {"OMP_NUM_THREADS": "1", "hopflow": 1, "torch": 1},
            "OMP_NUM_THREADS=1 leaves 7 of 8 processors idle",
        ),
        ("threads", {"torch": 4}, "do not share an OpenMP runtime"),
        ("threads", {"load, last minute": 6.0}, "OMP_WAIT_POLICY=passive"),
        ("openmp", {"runtimes loaded": ["/a/libgomp.so.1", "/b/libiomp5.so"]}, "Several OpenMP"),
        ("memory", {"transparent huge pages": "never"}, "huge pages are off"),
        ("files", {"cache can be written": False}, "XDG_CACHE_HOME"),
        # A build without CUDA lists no devices; the driver gives them away.
        ("cuda", {"driver": "570.86", "built into torch": "13.0"}, "hopflow was built without"),
        ("cuda", {"driver": "570.86", "built into hopflow": "13.0"}, "this torch is a CPU build"),
        (
            "cuda",
            {
                "driver": "570.86", "built into hopflow": "13.0", "built into torch": "13.0",
                "reason for none": "the driver is too old",
            },
            "no device can be used: the driver is too old",
        ),
    ],
)  # fmt: skip
def test_advice(quiet, group, change, word):
    quiet[group].update(change)
    assert word in " ".join(doctor._advice(quiet))


def test_a_busy_machine_needs_no_advice_twice(quiet):
    quiet["threads"].update({"load, last minute": 6.0, "OMP_WAIT_POLICY": "PASSIVE"})
    assert doctor._advice(quiet) == []
